"""From text to token ids, by rules that the served model's manifest states.

The rules are those of the server's `text` module, and the ids must be the same for every text. In this order: "\\r" is dropped (if
`newline` is set), `replace`, `lowercase`, split at "\\n" (if `newline` is set), split by `kind`, look-up. Knows no files but the
vocabulary, and no tensors. Byte pairs are in `bpe`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator

import regex

from .errors import InputError

# Kinds whose vocabulary is a plain list of entries.
ENTRY_KINDS = ("word", "char", "whitespace")
KINDS = (*ENTRY_KINDS, "huggingface")

# Words, numbers and single marks. Contractions are split off as "don" + "'t": as "do" + "n't", the words would not join again.
DEFAULT_PATTERN = r"[Oo]'[Cc]lock|[Mm]a'am|'(?:[dmst]|ll|re|ve)\b|\p{L}[\p{L}\p{M}]*|\p{N}+|[^\s]"

# Unicode White_Space. Python's `str.split` and `\s` also take U+001C..U+001F, which Unicode and the server do not.
WHITE_SPACE = r"\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}

# Capitals of Unicode 15 to 17, which the server lowercases and an older Python does not know: first, last, the lower case of the first.
_LATE = [
    (0x1C89, 0x1C89, 0x1C8A),
    (0xA7CB, 0xA7CB, 0x0264),
    (0xA7CC, 0xA7CC, 0xA7CD),
    (0xA7CE, 0xA7CE, 0xA7CF),
    (0xA7D2, 0xA7D2, 0xA7D3),
    (0xA7D4, 0xA7D4, 0xA7D5),
    (0xA7DA, 0xA7DA, 0xA7DB),
    (0xA7DC, 0xA7DC, 0x019B),
    (0x10D50, 0x10D65, 0x10D70),
    (0x16EA0, 0x16EB8, 0x16EBB),
]
LATE_CAPITALS = {code: small + code - first for first, last, small in _LATE for code in range(first, last + 1)}


@dataclasses.dataclass(frozen=True)
class Rule:
    """How text is split: the manifest's `tokenizer` object without `file`, and its `initial_tokens`."""

    kind: str
    unk: str | None = None
    eos: str | None = None
    newline: str | None = None
    lowercase: bool = False
    replace: dict[str, str] = dataclasses.field(default_factory=dict)
    pattern: str | None = None
    initial_tokens: list[str] = dataclasses.field(default_factory=list)

    @staticmethod
    def from_json(values: object, source: str) -> Rule:
        """Reads a rule from parsed JSON; unknown keys and kinds are refused. `source` is its name in errors."""
        known = [field.name for field in dataclasses.fields(Rule)]
        if not isinstance(values, dict):
            raise InputError(f"`{source}` is not a JSON object with the keys {', '.join(known)}")
        for key in values:
            if key not in known:
                raise InputError(f"unknown key `{key}` in `{source}`; known keys are {', '.join(known)}")
        if values.get("kind") not in KINDS:
            raise InputError(f"tokenizer kind `{values.get('kind')}` in `{source}` is not supported; supported are {', '.join(KINDS)}")
        if "pattern" in values and values["kind"] != "word":
            raise InputError(f"`pattern` in `{source}` is for the kind `word`; found `{values['kind']}`")
        return Rule(**values)

    def to_json(self) -> dict[str, object]:
        """The keys that differ from their defaults, `kind` first."""
        pairs = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: value for name, value in pairs if value not in (None, False, {}, [])}

    @property
    def file(self) -> str:
        """The name of the vocabulary's file in a model folder."""
        return "tokenizer.json" if self.kind == "huggingface" else "vocab.txt"

    def special_tokens(self) -> list[str]:
        """The entries that a vocabulary needs whatever the text is, each once, `unk` first."""
        return list(dict.fromkeys(token for token in (self.unk, self.eos, self.newline, *self.initial_tokens) if token is not None))


# Rules that need no file. `newline` of `char` is the character itself: so the "\r" of a text with Windows line ends is dropped.
RULES = {
    "word": Rule(kind="word", unk="<unk>", eos="<eos>", newline="<eos>", initial_tokens=["<eos>"]),
    "char": Rule(kind="char", unk="<unk>", newline="\n", initial_tokens=["\n"]),
    "whitespace": Rule(kind="whitespace", unk="<unk>", eos="<eos>", newline="<eos>", initial_tokens=["<eos>"]),
    "bpe": Rule(kind="huggingface", eos="<eos>", newline="<eos>", initial_tokens=["<eos>"]),
}


def read_rule(path: pathlib.Path) -> Rule:
    """A rule from a JSON file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read as JSON: {error}") from error
    return Rule.from_json(values, str(path))


class Rewriter:
    """What is done to a text before it is split. `literal` is left as it is."""

    def __init__(self, rule: Rule, literal: str | None = None) -> None:
        self.rule = rule
        self._literal = literal
        self._values = rule.replace if literal is None else {literal: literal, **rule.replace}
        keys = sorted(self._values, key=len, reverse=True)
        self._replace = regex.compile("|".join(map(regex.escape, keys))) if keys else None

    def lines(self, text: str) -> list[str]:
        """The lines, each to be split on its own; without `newline` the whole text is one."""
        if self.rule.newline is not None:
            text = text.replace("\r", "")
        if self._replace is not None:
            text = self._replace.sub(lambda match: self._values[match[0]], text)
        if self.rule.lowercase:
            parts = [text] if self._literal is None else text.split(self._literal)
            text = (self._literal or "").join(map(lowercased, parts))
        return [text] if self.rule.newline is None else text.split("\n")


def lowercased(text: str) -> str:
    """Character by character: on a whole string, `str.lower` makes the lower case of a sigma depend on its neighbours."""
    return "".join(map(str.lower, text)).translate(LATE_CAPITALS)


class Splitter:
    """A compiled `Rule`: from text to vocabulary entries."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._split = {"char": iter, "whitespace": self._split_whitespace, "word": self._split_word}[rule.kind]
        try:
            self._word = regex.compile(rule.pattern or DEFAULT_PATTERN)
        except regex.error as error:
            raise InputError(f"`pattern` {rule.pattern!r} is not a regular expression: {error}") from error
        self._solid = regex.compile(f"[^{WHITE_SPACE}]+")
        self._literal = self._literal_of(rule)
        self._rewriter = Rewriter(rule, self._literal)

    def split(self, text: str) -> Iterator[str | None]:
        """Yields an entry for each token; None stands for text that no token can match."""
        for number, line in enumerate(self._rewriter.lines(text)):
            if number > 0:
                yield self.rule.newline
            yield from self._split(line)

    def _split_whitespace(self, text: str) -> Iterator[str]:
        return iter(self._solid.findall(text))

    def _literal_of(self, rule: Rule) -> str | None:
        """The unknown token's entry, if the pattern as written would split it: it is a word wherever it occurs."""
        if rule.kind != "word" or not rule.unk or list(self._split_between(rule.unk)) == [rule.unk]:
            return None
        return rule.unk

    def _split_word(self, text: str) -> Iterator[str | None]:
        parts = [text] if self._literal is None else text.split(self._literal)
        for number, part in enumerate(parts):
            if number > 0:
                yield self._literal
            yield from self._split_between(part)

    def _split_between(self, text: str) -> Iterator[str | None]:
        """The words of a text without the literal."""
        end = 0
        for match in self._word.finditer(text):
            if match.start() > end:
                yield from self._uncovered(text[end : match.start()])
            end = match.end()
            if match.end() > match.start():
                yield match[0]
        yield from self._uncovered(text[end:])

    def _uncovered(self, text: str) -> Iterator[None]:
        """An unknown token for each run of non-white-space that `pattern` does not match."""
        return (None for _ in self._solid.finditer(text))


class Tokenizer:
    """A rule, and the vocabulary in which its entries are looked up."""

    def __init__(self, rule: Rule, vocabulary: list[str]) -> None:
        self.rule = rule
        self.vocabulary = vocabulary
        self.ids = {entry: token_id for token_id, entry in enumerate(vocabulary)}
        if len(self.ids) != len(vocabulary):
            entry, count = Counter(vocabulary).most_common(1)[0]
            raise InputError(f"the vocabulary holds `{entry}` {count} times; each entry must occur once")
        for entry in rule.special_tokens():
            if entry not in self.ids:
                raise InputError(f"the vocabulary lacks `{entry}`, which the tokenizer's rule names")
        self.unk_id = self.ids.get(rule.unk) if rule.unk is not None else None

    @functools.cached_property
    def splitter(self) -> Splitter:
        """The compiled rule."""
        return Splitter(self.rule)

    def stored(self) -> list[str] | str:
        """The vocabulary in plain values, for a checkpoint."""
        return self.vocabulary

    def file_text(self) -> str:
        """The content of the vocabulary's file: an entry a line, the line number is the id; line ends and backslashes are escaped."""
        return "".join("".join(ESCAPES.get(c, c) for c in entry) + "\n" for entry in self.vocabulary)

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Without `unk` a token that the vocabulary lacks is an error."""
        return self.look_up(self.splitter.split(text))

    def first_entry(self, text: str) -> str | None:
        """The entry of a text's first token; "" where there is none."""
        return next(iter(self.splitter.split(text)), "")

    def look_up(self, entries: Iterable[str | None]) -> list[int]:
        """The ids of entries that a splitter of the same rule yielded."""
        if self.unk_id is None:
            return [self._known(entry) for entry in entries]
        return [self.ids.get(entry, self.unk_id) for entry in entries]

    def initial_ids(self) -> list[int]:
        """The ids of the manifest's `initial_tokens`, read before any text and never scored."""
        return [self.ids[entry] for entry in self.rule.initial_tokens]

    def _known(self, entry: str | None) -> int:
        if entry not in self.ids:
            raise InputError(f"the vocabulary does not cover the text: it lacks {entry!r}, and the rule has no `unk`")
        return self.ids[entry]


def build_vocabulary(rule: Rule, entries: Iterable[str | None], size_max: int, count_min: int | None = None) -> list[str]:
    """At most `size_max` entries: the special ones, then the most frequent, ties in code point order.

    With `unk`, entries that occur less than `count_min` times are left to it. Without `count_min`, and if all entries would fit, those
    that occur once are: otherwise training would never meet `unk`.
    """
    counts = Counter(entries)
    special = rule.special_tokens()
    for entry in (None, *special):
        counts.pop(entry, None)
    frequent = sorted(counts, key=lambda entry: (-counts[entry], entry))
    if rule.unk is None and len(special) + len(frequent) > size_max:
        raise InputError(
            f"the corpus holds {len(special) + len(frequent)} different tokens, and a vocabulary of {size_max} does not cover it: "
            "use a larger --vocab-size, or a rule with `unk`"
        )
    if rule.unk is not None:
        fits = len(special) + len(frequent) <= size_max
        lowest = count_min if count_min is not None else 2 if fits else 1
        frequent = [entry for entry in frequent if counts[entry] >= lowest]
    return (special + frequent)[:size_max]


def parse_vocabulary(file_text: str) -> list[str]:
    """The entries of a `vocab.txt`; the last line need not end with a line feed."""
    unescape = {escape: character for character, escape in ESCAPES.items()}
    lines = file_text.removesuffix("\n").split("\n")
    return [regex.sub(r"\\[nrt\\]", lambda match: unescape[match[0]], line) for line in lines]
