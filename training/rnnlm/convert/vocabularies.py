"""Vocabularies as the sources keep them, and the rule by which a text becomes their entries. Knows no network."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections import Counter
from collections.abc import Iterator

from ..errors import InputError
from ..tokenizer import ENTRY_KINDS, Rule, parse_vocabulary
from . import foreign, pickles, torch_files
from .pickles import class_name

# What the sources call the token that ends a line or starts one, and the token for unknown words; the first that a vocabulary has counts.
ENDS = ("<eos>", "<sos/eos>", "</s>", "SENTENCE_END")
STARTS = ("<s>", "<sos>", "<bos>", "SENTENCE_START")
UNKNOWNS = ("<unk>", "<UNK>", "[UNK]", "<OOV>", "UNKNOWN_TOKEN")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Entries by id, and what the source says of how text becomes entries: keys of `Rule`."""

    entries: list[str]
    rule: dict[str, object] = dataclasses.field(default_factory=dict)

    def usual_rule(self, kind: str | None) -> Rule:
        """The rule that the source states, completed: `kind` or, without it, the kind that fits the entries."""
        if kind is not None and kind not in ENTRY_KINDS:
            raise InputError(f"vocabulary `{kind}` is not supported; supported are {', '.join(ENTRY_KINDS)}")
        end = self._first(ENDS)
        start = self._first(STARTS) or end
        usual: dict[str, object] = {"kind": self._usual_kind(), "unk": self._first(UNKNOWNS), "eos": end, "newline": end}
        usual["initial_tokens"] = [start] if start else []
        return Rule(**(usual | self.rule | ({} if kind is None else {"kind": kind})))

    def _first(self, names: tuple[str, ...]) -> str | None:
        entries = set(self.entries)
        return next((name for name in names if name in entries), None)

    def _usual_kind(self) -> str:
        """`char` if all entries are single characters, except for special ones in brackets."""
        single = all(len(entry) <= 1 or entry[0] in "<[" and entry[-1] in ">]" for entry in self.entries)
        return "char" if single else "whitespace"


def read(path: pathlib.Path) -> Vocabulary:
    """A vocabulary from a file of any form that the sources use, or from the folder of the text that a model was trained on."""
    try:
        if path.is_dir():
            return Vocabulary(list(words_in_order(path)))
        with path.open("rb") as file:
            head = file.read(foreign.HEAD_LEN)
        if what := foreign.kind_of(head):
            raise InputError(f"`{path}` is {what}")
        if head.startswith((b"PK", torch_files.LEGACY_HEAD)):
            return from_value(torch_files.read_value(path), path)
        if pickles.is_pickle(path, head):
            return from_value(pickles.read(path), path)
        if path.suffix == ".json":
            return from_value(json.loads(path.read_text(encoding="utf-8")), path)
        return from_lines(parse_vocabulary(path.read_bytes().decode("utf-8")), path)
    except (OSError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read as a vocabulary: {error}") from error


def words_in_order(folder: pathlib.Path) -> Iterator[str]:
    """The dictionary of `word_language_model` and of AWD-LSTM: words by their first place in train, valid and test text."""
    seen: dict[str, None] = {}
    for name in ("train.txt", "valid.txt", "test.txt"):
        with (folder / name).open(encoding="utf-8") as lines:
            for line in lines:
                # `str.split`, as those programs have it, not the server's white space.
                seen |= dict.fromkeys([*line.split(), "<eos>"])
    return iter(seen)


def from_lines(lines: list[str], path: pathlib.Path) -> Vocabulary:
    """One entry a line; or `entry id` on every line, as in `tokens.txt` of k2 and ESPnet."""
    pairs = [line.split() for line in lines]
    if all(len(pair) == 2 and pair[1].isascii() and pair[1].isdigit() for pair in pairs):
        return by_id({entry: int(token_id) for entry, token_id in pairs}, path)
    return Vocabulary(lines)


def from_value(value: object, path: pathlib.Path) -> Vocabulary:
    """A list of entries, a dictionary from entries to ids or from ids to entries, or one of them wherever a source keeps it."""
    if class_name(value) == "Corpus":
        value = value.get("dictionary")
    if class_name(value) == "Dictionary":
        value = value.get("idx2word")
    if class_name(value) == "Tokenizer":
        return keras_tokenizer(value.state, path)
    match value:
        case str():
            return from_value(json.loads(value), path)  # JSON inside JSON: `json.dump(tokenizer.to_json(), file)`
        case {"class_name": "Tokenizer", "config": dict(config)}:
            return keras_tokenizer(config, path)
        case {"word_index": dict() | str()}:
            return keras_tokenizer(value, path)
        case {"index_word": dict(inner)} | {"char2idx": dict(inner)} | {"char_to_ix": dict(inner)}:
            return from_value(inner, path)
        case {"char_list_dict": dict(inner)} | {"char_list": list(inner)} | {"token_list": list(inner)}:
            return from_value(inner, path)  # ESPnet
        case [dict() as to_id, dict()] | (dict() as to_id, dict()):
            return from_value(to_id, path)  # word_to_id, id_to_word
        case [list() | tuple() as entries, dict()]:
            return from_value(entries, path)  # chars, vocab
        case list() | tuple() if all(isinstance(entry, str) for entry in value):
            return Vocabulary(list(value))
        case dict() if value and all(isinstance(token_id, int) for token_id in value.values()):
            return by_id(value, path)
        case dict() if value and all(isinstance(entry, str) for entry in value.values()):
            return by_id({entry: int(token_id) for token_id, entry in value.items()}, path)
    raise InputError(f"`{path}` holds no vocabulary: found a {type(value).__name__}, expected a list of entries or a dictionary of entries and ids")


def by_id(ids: dict[str, int], path: pathlib.Path) -> Vocabulary:
    """Entries in the order of their ids. An id without an entry gets one that no text matches."""
    entries = {token_id: str(entry) for entry, token_id in ids.items()}
    if len(entries) != len(ids) or min(entries) < 0:
        raise InputError(f"`{path}` gives {len(ids)} entries {len(entries)} different ids, the lowest {min(entries)}; expected each its own from 0 on")
    count = max(entries) + 1
    if count > 2 * len(entries) + 2:
        raise InputError(f"`{path}` gives {len(entries)} entries ids up to {count - 1}; expected ids without such gaps")
    return Vocabulary([entries.get(token_id, f"<unused-{token_id}>") for token_id in range(count)])


def keras_tokenizer(config: dict[str, object], path: pathlib.Path) -> Vocabulary:
    """The `Tokenizer` of Keras, from its JSON or its pickle: id 0 is padding; `filters` become spaces, then text is lowercased and split."""
    word_index = config.get("word_index")
    word_index = json.loads(word_index) if isinstance(word_index, str) else word_index
    if not isinstance(word_index, dict):
        raise InputError(f"`{path}` is a Keras tokenizer that has no `word_index`")
    count = config.get("num_words") or len(word_index) + 1
    vocabulary = by_id({"<pad>": 0} | {word: token_id for word, token_id in word_index.items() if token_id < count}, path)
    separators = "" if config.get("char_level") else str(config.get("filters") or "")
    rule = {
        "kind": "char" if config.get("char_level") else "whitespace",
        "unk": config.get("oov_token"),
        "lowercase": bool(config.get("lower")),
        "replace": {mark: " " for mark in separators if not mark.isspace()},
    }
    return Vocabulary(vocabulary.entries, rule)


def sorted_set(text: str) -> list[str]:
    """`sorted(set(text))`."""
    return sorted(set(text))


def by_frequency(text: str) -> list[str]:
    """The most frequent first, ties in the order of the text: `sorted(Counter(text).items(), key=lambda pair: -pair[1])`."""
    return [character for character, _ in Counter(text).most_common()]


# How programs that train on characters number those of their text.
TEXT_RULES = {"sorted-set": sorted_set, "by-frequency": by_frequency}


def from_text(path: pathlib.Path, rule: str, lowercase: bool) -> Vocabulary:
    """The characters of the text that a model was trained on, as Python's text mode reads it: every line end is "\\n"."""
    try:
        text = path.read_text(encoding="utf-8")
        # Any other text, HTML too, may be what a model was trained on.
        if foreign.is_pointer(text[: foreign.HEAD_LEN].encode()):
            raise InputError(f"`{path}` is {foreign.POINTER}")
    except (OSError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read as UTF-8 text: {error}") from error
    return Vocabulary(TEXT_RULES[rule](text.lower() if lowercase else text), {"kind": "char", "lowercase": lowercase})
