"""The ids that training reads equal those of `rnnlm-server tokenize`: for every rule that ships, every kind, every text.

`RNNLM_CORPORA=FOLDER` adds each `.txt` and `.txt.xz` below a folder to the texts.
"""

from __future__ import annotations

import json
import os
import pathlib
import random

import numpy
import pytest

import server
from conftest import REPOSITORY
from rnnlm import folder, reading, storage, vocabulary
from rnnlm.architecture import Architecture
from rnnlm.corpus import read_text
from rnnlm.errors import InputError
from rnnlm.model import RnnLm
from rnnlm.tokenizer import RULES, Rule, Tokenizer, read_rule
from rnnlm.weights_file import Storage

# What programming languages and their libraries disagree on: letters whose lower case is longer or depends on neighbours, marks, joiners,
# digits, white space and line ends of every kind, letters of recent Unicode versions, unassigned code points, special tokens spelled out.
AWKWARD = [
    *"I İ ı i̇ ß ẞ ﬁ Σ σ ς ΟΔΟΣ ǅ Ǆ e\u0301 é ñ Å Ａ ª º ² ½ Ⅷ ᾳ \u0301 \u20dd \u0903".split(" "),
    *["\n", "\n\n", "\r\n", "\r", "\n\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\t", "\x00", "\x7f"],
    *["\xa0", "\u1680", "\u2003", "\u200b", "\u200d", "\u202f", "\u205f", "\u3000", "\ufeff", "\u00ad", "  ", "   "],
    *"👨\u200d👩\u200d👧 👍🏽 🇩🇪 ❤\ufe0f 1\ufe0f\u20e3 𝔘 𐐀 漢字 한국 ไทย क्षि த்ர".split(" "),
    *"٠١٢٣ ०१२ 𝟙𝟚 ௧ 0 42 3.14 1,000 1st x2".split(" "),
    *"' ’ ‘ “ ” \" ` ´ '' ‚ „ « » — – -- --- … ... . , ; ! ? ( ) [ ] { } \\ / & | ~ ^ - && || [[ ]]".split(" "),
    *"'s ’s 'll ’LL 't 'sofa ’tis 'Tis o'clock O'Clock ma'am O'Brien d'Artagnan don't DON'T _so_ \"'No,'".split(" "),
    *"\u1c89 \ua7cb \ua7da \U00010d50 \U00016d40 \U000105c0 \U0001e5d0".split(" "),
    *"<unk> <eos> <s> the The THE of cat \u0378 \uf8ff \U000e0001 \U0010ffff".split(" "),
    *[" "] * 40,
]
TESTS = REPOSITORY / "tests/data"
VOCAB_SIZE = 3000


def awkward_text() -> str:
    """The same text every time, with each piece beside others, with and without a space."""
    return "".join(random.Random(3).choices(AWKWARD, k=40_000))


def every_character() -> str:
    """Each Unicode scalar below U+20000 and of the last planes' first rows alone on a line, and between letters where one may end a word."""
    codes = [*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200), 0x10FFFF]
    return "".join(f"{c} a{c}a\n" for c in map(chr, codes))


def texts() -> dict[str, str]:
    """The texts that are read whole, by name."""
    corpora = os.environ.get("RNNLM_CORPORA")
    more = sorted(path for end in (".txt", ".txt.xz") for path in pathlib.Path(corpora).rglob(f"*{end}")) if corpora else []
    paths = [TESTS / "classics-test.txt", TESTS / "shakespeare-test.txt", *more]
    return {"awkward": awkward_text(), "every character": every_character(), **{str(path): read_text(path) for path in paths}}


def shipped() -> list[pathlib.Path]:
    """The model folders; of those that share a rule and a vocabulary, the first."""
    found = {}
    for path in sorted((REPOSITORY / "models").glob("*/config.json")):
        values = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault((json.dumps(values["tokenizer"]), (path.parent / values["tokenizer"]["file"]).read_bytes()), path.parent)
    assert len(found) >= 2, "this test looks for the models in the wrong place"
    return list(found.values())


RULE_FILES = sorted((REPOSITORY / "training/tokenizers").glob("*.json"))
MORE_RULES = {
    "word, lower case": Rule(kind="word", unk="<unk>", newline="<eos>", lowercase=True, replace={"’": "'", "\n\n": "\n", "--": "—"}),
    "word, own pattern": Rule(kind="word", unk="<unk>", pattern=r"\w+|\s|[^\w\s]+"),
    "char, line ends": Rule(kind="char", unk="<unk>", newline="<eos>"),
    "bpe, lower case": Rule(kind="huggingface", newline="<eos>", lowercase=True, replace={"’": "'", "\n'": "\n"}),
}


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.name)
def test_models_that_ship(server_binary, tmp_path, path):
    compare_texts(server_binary, path, reading.read(path)[1], tmp_path)


@pytest.mark.parametrize("rule", [*RULES.values(), *MORE_RULES.values(), *map(read_rule, RULE_FILES)], ids=[*RULES, *MORE_RULES, *(path.name for path in RULE_FILES)])
def test_rules_of_every_kind(server_binary, tmp_path, rule):
    learned = awkward_text() + (TESTS / "classics-test.txt").read_text(encoding="utf-8")[:300_000]
    tokenizer = vocabulary.learn(rule, learned, vocabulary.Limits(VOCAB_SIZE))
    network = RnnLm(Architecture("rnn_tanh", len(tokenizer.vocabulary), 1, (1,), tie_weights=True))
    weights = storage.weights_file(network, tokenizer, Storage("safetensors", "f32"))
    folder.write(tmp_path / "model", folder.Parts(weights, tokenizer, card=""))
    compare_texts(server_binary, tmp_path / "model", tokenizer, tmp_path)


def compare_texts(binary: pathlib.Path, model: pathlib.Path, tokenizer: Tokenizer, scratch: pathlib.Path) -> None:
    """Compares both sides on every text; where both refuse one, on the characters that the vocabulary has."""
    for name, text in texts().items():
        path = scratch / "text.txt"
        path.write_text(text, encoding="utf-8", newline="")
        try:
            expected = tokenizer.encode(text)
        except InputError:
            assert "is not in the vocabulary" in server.failure(binary, "tokenize", "--model", model, path), name
            text = "".join(c for c in text if c in tokenizer.ids)
            path.write_text(text, encoding="utf-8", newline="")
            expected = tokenizer.encode(text)
        printed = server.output(binary, "tokenize", "--model", model, path)
        assert printed.count("\n") == text.count("\n") + (not text.endswith("\n")), f"{name}: a line of ids for a line"
        assert_equal(name, tokenizer, numpy.array(expected), numpy.fromstring(printed, dtype=numpy.int64, sep=" "))


def assert_equal(name: str, tokenizer: Tokenizer, expected: numpy.ndarray, found: numpy.ndarray) -> None:
    """On a difference, says where the ids part, and in which words."""
    length = min(len(expected), len(found))
    differ = numpy.flatnonzero(expected[:length] != found[:length])
    first = int(differ[0]) if len(differ) else length
    words = [[tokenizer.vocabulary[token] for token in ids[max(first - 5, 0) : first + 5]] for ids in (expected, found)]
    assert len(expected) == len(found) and not len(differ), f"{name}: from token {first} on training has {words[0]}, the server {words[1]}"
