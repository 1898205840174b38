"""The chunked loss against PyTorch's, the sampled one against the full one, and the score against its definition."""

import math

import torch
from torch.nn import functional

from rnnlm import loss
from rnnlm.architecture import Architecture
from rnnlm.candidates import CandidateSampler
from rnnlm.model import RnnLm
from rnnlm.network import build
from rnnlm.scoring import perplexity_by_context, score_text
from rnnlm.tokenizer import Rule, Tokenizer


def layer(columns: int, width: int = 16) -> tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]:
    """An output layer, hidden rows in more than one chunk, and their targets."""
    torch.manual_seed(3)
    rows = loss.ROWS_PER_CHUNK + 44
    return torch.nn.Linear(width, columns), torch.randn(rows // 4, 4, width, requires_grad=True), torch.randint(columns, (rows // 4, 4))


def test_full_loss_and_gradients_are_those_of_cross_entropy():
    decoder, hidden, targets = layer(columns=50)
    parameters = (hidden, decoder.weight, decoder.bias)
    ours = loss.full_loss(hidden, decoder, targets, torch.float32)
    expected = functional.cross_entropy(decoder(hidden).flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(ours, expected)
    for found, wanted in zip(torch.autograd.grad(2 * ours, parameters), torch.autograd.grad(2 * expected, parameters)):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_sampled_loss_comes_to_the_full_one_with_many_samples():
    decoder, hidden, targets = layer(columns=200)
    counts = 1000 // (torch.arange(200) + 1)
    sampler = CandidateSampler(counts, head=50, samples=100_000)
    candidates = sampler.draw(targets.flatten(), torch.Generator().manual_seed(1))
    full = loss.full_loss(hidden, decoder, targets, torch.float32)
    sampled = loss.sampled_loss(hidden, decoder, candidates, torch.float32)
    assert abs(sampled - full) / full < 2e-3


def test_candidates_hold_each_target_once_and_undrawn_ones_for_their_own_row_only():
    counts = torch.ones(100, dtype=torch.int64)
    targets = torch.tensor([0, 99, 50, 99])
    candidates = CandidateSampler(counts, head=10, samples=5).draw(targets, torch.Generator().manual_seed(1))
    assert torch.equal(candidates.ids[candidates.columns], targets)
    assert len(candidates.ids.unique()) == len(candidates.ids)
    undrawn = candidates.correction == -math.inf
    assert set(candidates.ids[undrawn].tolist()) <= {50, 99}


def tiny_model() -> tuple[RnnLm, Tokenizer]:
    torch.manual_seed(4)
    tokenizer = Tokenizer(Rule(kind="char", initial_tokens=["\n"]), ["\n", *"abcdef"])
    return RnnLm(Architecture("gru", 7, 5, (6, 4), tie_weights=False)), tokenizer


def test_score_reads_initial_tokens_and_scores_every_other():
    model, tokenizer = tiny_model()
    text = "fade bead\ncafe\n".replace(" ", "") * 100
    score = score_text(model, tokenizer, text)
    ids = torch.tensor([0, *tokenizer.encode(text)])
    outputs, _ = model(ids[:-1, None], model.zero_state(1))
    logprobs = model.decoder(outputs[:, 0]).log_softmax(1).gather(1, ids[1:, None])
    assert score.scored_count == score.char_count == len(text)
    assert math.isclose(score.logprob, logprobs.sum().item(), rel_tol=1e-12)


def test_perplexity_by_context_reads_so_many_tokens_and_no_more():
    model, tokenizer = tiny_model()
    ids = torch.tensor(tokenizer.encode("fadebead\ncafe\n"))
    loss_sum = 0.0
    for position in range(3, len(ids)):
        outputs, _ = model(ids[position - 3 : position, None], model.zero_state(1))
        loss_sum += functional.cross_entropy(model.decoder(outputs[-1]), ids[position : position + 1]).item()
    assert math.isclose(perplexity_by_context(model, ids, context=3, every=1), math.exp(loss_sum / (len(ids) - 3)), rel_tol=1e-5)


def test_contexts_are_measured_on_the_same_tokens():
    shape = {"cell": "cbow", "vocab_size": 7, "embedding_size": 4, "hidden_sizes": [4], "tie_weights": True, "context": 1, "pad": 0}
    model, ids = build(shape), torch.randint(7, (40,), generator=torch.Generator().manual_seed(1))
    # A network that reads one token predicts alike from any context: only other tokens could change the figure.
    figures = [perplexity_by_context(model, ids, context, every=10) for context in (1, 2, 7, 10)]
    assert figures == [figures[0]] * 4
