"""Perplexity. The definitions are those of the served `score`: initial tokens are read, never scored or counted."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch.nn import functional

from .corpus import Streams
from .errors import InputError
from .network import Network
from .tokenizer import Tokenizer

WINDOW = 1024
ROWS_PER_CHUNK = 512


@dataclasses.dataclass(frozen=True)
class Score:
    """A scored text. `logprob` is natural; characters are those of the text that the scored tokens stand for."""

    logprob: float
    scored_count: int
    unknown_count: int
    char_count: int

    @property
    def perplexity(self) -> float:
        return math.exp(-self.logprob / self.scored_count)

    @property
    def bits_per_token(self) -> float:
        return -self.logprob / math.log(2) / self.scored_count

    @property
    def bits_per_char(self) -> float:
        return -self.logprob / math.log(2) / self.char_count


@torch.no_grad()
def score_text(model: Network, tokenizer: Tokenizer, text: str, progress=iter) -> Score:
    """One stream over the whole text, in float64. `progress` wraps the windows (a progress bar)."""
    initial = tokenizer.initial_ids()
    if not initial:
        raise InputError("the model has no `initial_tokens`: the first token has nothing before it to be scored by")
    tokens = tokenizer.encode(text)
    ids = torch.tensor(initial + tokens)[:, None]
    model = model.double().eval()
    _, state = model(ids[: len(initial) - 1], model.zero_state(1)) if len(initial) > 1 else (None, model.zero_state(1))
    inputs, targets = ids[len(initial) - 1 : -1], ids[len(initial) :]
    logprob = 0.0
    for window_inputs, window_targets in progress(list(zip(inputs.split(WINDOW), targets.split(WINDOW)))):
        outputs, state = model(window_inputs, state)
        logprob -= functional.cross_entropy(model.decoder(outputs[:, 0]), window_targets[:, 0], reduction="sum").item()
    return Score(
        logprob=logprob,
        scored_count=len(tokens),
        unknown_count=sum(token_id == tokenizer.unk_id for token_id in tokens),
        char_count=len(text),
    )


@torch.no_grad()
def perplexity_by_context(model: Network, ids: torch.Tensor, context: int, every: int) -> float:
    """Perplexity of every `every`-th token of `ids`, predicted from a zero state that read only the `context` tokens before it.

    In the precision the model is in. Tokens with fewer than `context` before them are left out.
    """
    model = model.eval()
    positions = torch.arange(context, len(ids), every)
    loss = 0.0
    for chunk in positions.split(ROWS_PER_CHUNK):
        inputs = ids[chunk[None, :] - context + torch.arange(context)[:, None]]
        outputs, _ = model(inputs, model.zero_state(len(chunk)))
        loss += functional.cross_entropy(model.decoder(outputs[-1]), ids[chunk], reduction="sum").item()
    return math.exp(loss / len(positions))


@torch.no_grad()
def estimate_loss(model: Network, ids: torch.Tensor, batch_size: int) -> float:
    """Mean loss in parallel streams, fast and a little high: each stream but the first starts without its past."""
    model.eval()
    streams = Streams(ids, batch_size=min(batch_size, len(ids) - 1), window=64)
    state = model.zero_state(streams.batch_size)
    loss, count = 0.0, 0
    for first in range(0, streams.length, streams.window):
        steps = torch.arange(first, min(first + streams.window, streams.length) + 1)
        rows = ids[steps[:, None] + torch.arange(streams.batch_size) * streams.length]
        outputs, state = model(rows[:-1], state)
        for hidden, targets in zip(outputs.flatten(0, 1).split(ROWS_PER_CHUNK), rows[1:].flatten().split(ROWS_PER_CHUNK)):
            loss += functional.cross_entropy(model.decoder(hidden), targets, reduction="sum").item()
        count += rows[1:].numel()
    model.train()
    return loss / count
