"""Vocabularies of every kind: learned from a text, taken from a checkpoint, read from a model folder."""

from __future__ import annotations

import dataclasses
import pathlib

from . import bpe
from .tokenizer import Rule, Splitter, Tokenizer, build_vocabulary, parse_vocabulary

# Characters that occur less often are unknown: so the network meets unknown characters in training, as it will in other texts.
CHARACTER_COUNT_MIN = 5


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of a vocabulary that is learned: how many entries it may have, and how often an entry must occur."""

    size_max: int
    count_min: int | None = None  # None: what is usual for the kind


def learn(rule: Rule, text: str, limits: Limits) -> Tokenizer:
    """A tokenizer whose vocabulary covers `text`, but for what is left to `unk`."""
    if rule.kind == "huggingface":
        return bpe.learn(rule, text, limits.size_max)
    count_min = limits.count_min
    if count_min is None and rule.kind == "char":
        count_min = CHARACTER_COUNT_MIN
    return Tokenizer(rule, build_vocabulary(rule, Splitter(rule).split(text), limits.size_max, count_min))


def restored(rule: Rule, stored: list[str] | str) -> Tokenizer:
    """The inverse of `Tokenizer.stored`."""
    return bpe.BytePairTokenizer(rule, stored) if rule.kind == "huggingface" else Tokenizer(rule, stored)


def read(rule: Rule, path: pathlib.Path) -> Tokenizer:
    """A tokenizer from the file of its vocabulary."""
    text = path.read_bytes().decode("utf-8")
    return restored(rule, text if rule.kind == "huggingface" else parse_vocabulary(text))
