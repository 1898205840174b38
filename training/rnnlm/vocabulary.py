"""Vocabularies of every kind: learned from a text, taken from a checkpoint, read from a model folder."""

from __future__ import annotations

import pathlib

from . import bpe
from .tokenizer import Rule, Splitter, Tokenizer, build_vocabulary, parse_vocabulary


def learn(rule: Rule, text: str, size_max: int) -> tuple[Tokenizer, list[int]]:
    """A tokenizer of at most `size_max` entries that covers `text`, and the ids of `text`."""
    if rule.kind == "huggingface":
        tokenizer = bpe.learn(rule, text, size_max)
        return tokenizer, tokenizer.encode(text)
    # Split once: a corpus takes a while.
    entries = list(Splitter(rule).split(text))
    tokenizer = Tokenizer(rule, build_vocabulary(rule, entries, size_max))
    return tokenizer, tokenizer.look_up(entries)


def restored(rule: Rule, stored: list[str] | str) -> Tokenizer:
    """The inverse of `Tokenizer.stored`."""
    return bpe.BytePairTokenizer(rule, stored) if rule.kind == "huggingface" else Tokenizer(rule, stored)


def read(rule: Rule, path: pathlib.Path) -> Tokenizer:
    """A tokenizer from its vocabulary's file."""
    text = path.read_bytes().decode("utf-8")
    return restored(rule, text if rule.kind == "huggingface" else parse_vocabulary(text))
