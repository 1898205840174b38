"""How much of a text its vocabulary leaves unknown: to be said before a run begins, and beside every perplexity.

An unknown token is easy to predict, because all unknown words share one entry: a perplexity with many of them looks better than it is.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter

import regex

from .errors import InputError
from .tokenizer import Tokenizer

WARNING_SHARE = 0.10
SHOWN = 5
# Scripts that do not put spaces between words.
SPACELESS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
LETTER = regex.compile(r"\p{L}")
SPACELESS_SHARE = 0.3
CHARACTERS_LOOKED_AT = 100_000


@dataclasses.dataclass(frozen=True)
class Coverage:
    """A part of the corpus as its vocabulary sees it."""

    name: str
    ids: list[int]
    unknown_count: int  # including those that the text itself spells as unknown
    unknown: Counter[str]  # entries that the vocabulary lacks, "" for text that no entry could match

    @property
    def share(self) -> float:
        """The unknown tokens among all."""
        return self.unknown_count / max(len(self.ids), 1)

    def line(self) -> str:
        """What is said before a run begins."""
        return f"{self.name}: {len(self.ids):,} tokens, {self.unknown_count:,} unknown ({self.share:.2%}){most_common(self.unknown)}"


def measure(name: str, tokenizer: Tokenizer, text: str) -> Coverage:
    """Encodes a text; without `unk` a token that the vocabulary lacks is an error, in which all of them are named."""
    if tokenizer.rule.kind == "huggingface":
        return Coverage(name, tokenizer.encode(text), 0, Counter())
    entries = list(tokenizer.splitter.split(text))
    unknown = Counter(entry or "" for entry in entries if entry not in tokenizer.ids)
    if unknown and tokenizer.unk_id is None:
        raise InputError(
            f"the vocabulary does not cover the text: {name} has {unknown.total():,} tokens that it lacks{most_common(unknown)}. "
            "A rule with `unk`, such as that of `--vocabulary char`, reads them as unknown"
        )
    ids = tokenizer.look_up(entries)
    return Coverage(name, ids, sum(token_id == tokenizer.unk_id for token_id in ids), unknown)


def most_common(unknown: Counter[str]) -> str:
    """The most frequent unknown entries, each with its count."""
    if not unknown:
        return ""
    listed = ", ".join(f"{entry!r} {count:,}" for entry, count in unknown.most_common(SHOWN))
    more = f" and {len(unknown) - SHOWN:,} more" if len(unknown) > SHOWN else ""
    return f": {listed}{more}"


def report(tokenizer: Tokenizer, parts: list[Coverage], text: str) -> None:
    """Says of each part how much of it is unknown, and warns where that makes perplexities flatter."""
    for part in parts:
        print(part.line())
    words = tokenizer.rule.kind in ("word", "whitespace")
    if words and is_spaceless(text):
        warn("most of the text is in a script that puts no spaces between words, which this vocabulary counts on: use --vocabulary char or --vocabulary bpe")
    for part in parts:
        warn_if_flattering(part.name, part.share)


def warn_if_flattering(name: str, share: float) -> None:
    """Warns where so many tokens are unknown that a perplexity says little."""
    if share > WARNING_SHARE:
        warn(f"{share:.1%} of the tokens of {name} are unknown, and unknown tokens are easy to predict: perplexities will look better than they are")


def is_spaceless(text: str) -> bool:
    """Whether most words of a text cannot be found by spaces."""
    sample = text[:CHARACTERS_LOOKED_AT]
    return len(SPACELESS.findall(sample)) > SPACELESS_SHARE * max(len(LETTER.findall(sample)), 1)


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)
