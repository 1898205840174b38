"""The rules of splitting, one by one, and the corner cases in which programming languages differ."""

import json
import pathlib

import pytest

from rnnlm.errors import InputError
from rnnlm.tokenizer import Rule, Splitter, Tokenizer, build_vocabulary, parse_vocabulary

CLASSICS = Rule.from_json(json.loads((pathlib.Path(__file__).parents[1] / "tokenizers/classics.json").read_text(encoding="utf-8")), "classics")
LINES = Rule(kind="whitespace", unk="<unk>", newline="<eos>")


def split(rule: Rule, text: str) -> list[str | None]:
    return list(Splitter(rule).split(text))


def test_white_space_is_that_of_unicode_and_lines_end_at_newline_only():
    assert split(LINES, "a\x1cb\u2028c\x85d\u200be\r\n f\n") == ["a\x1cb", "c", "d\u200be", "<eos>", "f", "<eos>"]


def test_word_pattern_covers_words_numbers_marks_and_contractions():
    text = "Don't 'ere at 7 o'clock, ma'am—élan e\u0301lan x\x1cy"
    words = ["Don", "'t", "'", "ere", "at", "7", "o'clock", ",", "ma'am", "—", "élan", "e\u0301lan", "x", "\x1c", "y"]
    assert split(Rule(kind="word"), text) == words


def test_text_that_the_pattern_leaves_is_one_unknown_a_run():
    assert split(Rule(kind="word", pattern=r"\p{L}+"), "ab 12,3 4 cd!") == ["ab", None, None, "cd", None]


def test_lowercase_is_by_character_and_replace_is_one_pass_longest_first():
    rule = Rule(kind="whitespace", lowercase=True, replace={"a": "b", "b": "a", "aa": "X"})
    assert split(rule, "aaab ΣΑΣ İ") == ["xba", "σασ", "i\u0307"]


def test_carriage_return_is_kept_without_newline():
    assert split(Rule(kind="char"), "a\r\n") == ["a", "\r", "\n"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"_Very_ well," she said--"I am..."', "“ Very well , ” she said — “ I am … ”"),
        ("\"'No,' said he.\" '", "“ ‘ No , ’ said he . ” ‘"),
        ("‘Yes,’ he said. ’Twas the boys’ o’clock.", "‘ Yes , ’ he said . ‘ Twas the boys ’ o'clock ."),
        ("It’s Holmes's O'Brien", "It 's Holmes 's O'Brien"),
    ],
)
def test_quotation_marks_of_the_classics_become_directional(text, words):
    assert split(CLASSICS, text) == words.split(" ")


def test_vocabulary_is_by_frequency_then_code_point_and_holds_the_special_tokens_first():
    assert build_vocabulary(LINES, split(LINES, "b b c a c d\n"), 5) == ["<unk>", "<eos>", "b", "c", "a"]


def test_words_that_occur_once_are_left_to_unk_where_all_would_fit():
    assert build_vocabulary(LINES, split(LINES, "b b c a c d\n"), 6) == ["<unk>", "<eos>", "b", "c"]
    assert build_vocabulary(Rule(kind="char"), "abb", 6) == ["b", "a"], "without `unk` every token is needed"


def test_unknown_words_need_unk():
    assert Tokenizer(LINES, ["<unk>", "<eos>", "a"]).encode("a b <unk>\n") == [2, 0, 0, 1]
    with pytest.raises(InputError, match="lacks 'b'"):
        Tokenizer(Rule(kind="char"), ["a"]).encode("ab")


def test_vocabulary_file_escapes_line_ends_and_back_slashes():
    vocabulary = ["\n", "\r", "\t", "\\", "\\n", "\u2028", "a\x85b"]
    file_text = Tokenizer(Rule(kind="char"), vocabulary).file_text()
    assert file_text.count("\n") == len(vocabulary)
    assert parse_vocabulary(file_text) == vocabulary


def test_duplicate_entry_bad_pattern_and_unknown_key_are_refused():
    with pytest.raises(InputError, match="holds `a` 2 times"):
        Tokenizer(Rule(kind="char"), ["a", "b", "a"])
    with pytest.raises(InputError, match="is not a regular expression"):
        Splitter(Rule(kind="word", pattern="["))
    with pytest.raises(InputError, match="unknown key `patern`"):
        Rule.from_json({"kind": "word", "patern": "x"}, "rule.json")
