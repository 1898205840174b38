"""Perplexity. The definitions are those of the server's `score`: initial tokens are read, and neither scored nor counted."""

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
    """A scored text. Log-probabilities are natural; characters are those of the text that the scored tokens stand for."""

    logprob: float
    scored_count: int
    unknown_count: int  # of all tokens, as the server counts them
    char_count: int
    known_logprob: float  # of the scored tokens that are not unknown
    known_count: int

    @property
    def perplexity(self) -> float:
        return math.exp(-self.logprob / self.scored_count)

    @property
    def unknown_share(self) -> float:
        """The unknown tokens among the scored ones."""
        return 1.0 - self.known_count / self.scored_count

    @property
    def known_perplexity(self) -> float | None:
        """The perplexity of the known tokens; None where there are none."""
        return math.exp(-self.known_logprob / self.known_count) if self.known_count else None

    @property
    def bits_per_token(self) -> float:
        return -self.logprob / math.log(2) / self.scored_count

    @property
    def bits_per_char(self) -> float:
        return -self.logprob / math.log(2) / self.char_count


@torch.no_grad()
def score_text(model: Network, tokenizer: Tokenizer, text: str, progress=iter) -> Score:
    """One stream over the whole text, in float64. `progress` wraps the windows, for example in a progress bar."""
    initial = tokenizer.initial_ids()
    tokens = tokenizer.encode(text)
    # Without initial tokens the first token has nothing before it to be predicted from: it is read, and not scored.
    scored = tokens if initial else tokens[1:]
    if not scored:
        raise InputError(f"the text has {len(tokens)} tokens, of which none has another before it to be predicted from")
    ids = torch.tensor(initial + tokens)[:, None]
    model = model.double().eval()
    first = len(ids) - len(scored)
    state = model.zero_state(1)
    if first > 1:
        _, state = model(ids[: first - 1], state)
    inputs, targets = ids[first - 1 : -1], ids[first:]
    logprob = known_logprob = 0.0
    for window_inputs, window_targets in progress(list(zip(inputs.split(WINDOW), targets.split(WINDOW)))):
        outputs, state = model(window_inputs, state)
        target = window_targets[:, 0]
        losses = functional.cross_entropy(model.decoder(outputs[:, 0]), target, reduction="none")
        logprob -= losses.sum().item()
        known_logprob -= losses[target != unknown_id(tokenizer)].sum().item()
    return Score(
        logprob=logprob,
        scored_count=len(scored),
        unknown_count=tokens.count(unknown_id(tokenizer)),
        char_count=len(text) if initial else len(text) - first_token_end(tokenizer, text),
        known_logprob=known_logprob,
        known_count=len(scored) - scored.count(unknown_id(tokenizer)),
    )


def first_token_end(tokenizer: Tokenizer, text: str) -> int:
    """How many characters of a text its first token takes, with what stands before it: the shortest prefix that splits into that token."""
    first = tokenizer.first_entry(text)
    return next(end for end in range(1, len(text) + 1) if tokenizer.first_entry(text[:end]) == first)


def unknown_id(tokenizer: Tokenizer) -> int:
    """The id of `unk`, or one that no token has."""
    return -1 if tokenizer.unk_id is None else tokenizer.unk_id


@torch.no_grad()
def perplexity_by_context(model: Network, ids: torch.Tensor, context: int, every: int) -> float:
    """Perplexity of every `every`-th token of `ids`, predicted from a zero state that has read only the `context` tokens before it.

    It is computed in the model's precision. Tokens with fewer than `context` before them are left out; the others are the same
    whatever the context, so that figures compare.
    """
    model = model.eval()
    positions = torch.arange(-(-context // every) * every, len(ids), every)
    if not len(positions):
        raise InputError(f"the text of {len(ids)} tokens is too short for contexts of {context} tokens at every {every}th token")
    loss = 0.0
    for chunk in positions.split(ROWS_PER_CHUNK):
        inputs = ids[chunk[None, :] - context + torch.arange(context)[:, None]]
        outputs, _ = model(inputs, model.zero_state(len(chunk)))
        loss += functional.cross_entropy(model.decoder(outputs[-1]), ids[chunk], reduction="sum").item()
    return math.exp(loss / len(positions))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean losses of a text."""

    loss: float
    known_loss: float  # of the tokens that are not unknown; nan where there are none


@torch.no_grad()
def estimate_loss(model: Network, ids: torch.Tensor, batch_size: int, unknown: int) -> Estimate:
    """Mean losses in parallel streams: fast, and slightly too high, because each stream but the first starts without its past."""
    model.eval()
    streams = Streams(ids, batch_size=min(batch_size, len(ids) - 1), window=64)
    state = model.zero_state(streams.batch_size)
    loss = known_loss = 0.0
    count = known_count = 0
    for first in range(0, streams.length, streams.window):
        steps = torch.arange(first, min(first + streams.window, streams.length) + 1)
        rows = ids[steps[:, None] + torch.arange(streams.batch_size) * streams.length]
        outputs, state = model(rows[:-1], state)
        for hidden, targets in zip(outputs.flatten(0, 1).split(ROWS_PER_CHUNK), rows[1:].flatten().split(ROWS_PER_CHUNK)):
            losses = functional.cross_entropy(model.decoder(hidden), targets, reduction="none")
            known = losses[targets != unknown]
            loss += losses.sum().item()
            known_loss += known.sum().item()
            count += len(losses)
            known_count += len(known)
    model.train()
    return Estimate(loss / count, known_loss / known_count if known_count else math.nan)
