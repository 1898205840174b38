"""Byte pairs: every text can be encoded, lines are encoded one by one, and the result of learning depends on the text alone."""

import json

import pytest

import evaluate
import export
import train
from conftest import TINY, run
from rnnlm import bpe, checkpoint
from rnnlm.errors import InputError
from rnnlm.tokenizer import RULES, Rule

TEXT = "the cat sat on the mat, the cat's hat\n" * 50
RULE = RULES["bpe"]


def test_frequent_words_become_tokens_and_rare_ones_bytes():
    tokenizer = bpe.learn(RULE, TEXT, 300)
    entries = [tokenizer.vocabulary[token_id] for token_id in tokenizer.encode("the cat\n\r\nthé")]
    assert entries == ["the", "Ġcat", "<eos>", "<eos>", "t", "h", "Ã", "©"]
    assert tokenizer.unk_id is None and len(tokenizer.vocabulary) <= 300


def test_what_no_line_holds_is_no_token_of_a_text():
    tokenizer = bpe.learn(RULE, TEXT, 300)
    assert tokenizer.ids["<eos>"] == 0 and 0 not in tokenizer.encode("the <eos> cat")
    with pytest.raises(InputError, match="`the` is a token of the text too"):
        bpe.learn(Rule(kind="huggingface", newline="the"), TEXT, 300)


def test_the_same_text_gives_the_same_file():
    assert bpe.learn(RULE, TEXT, 300).file_text() == bpe.learn(RULE, TEXT, 300).file_text()


def test_rules_are_applied_before():
    rule = Rule(kind="huggingface", lowercase=True, replace={"mat": "Hat"})
    tokenizer = bpe.learn(rule, TEXT, 300)
    assert tokenizer.encode("THE mat\r\n") == tokenizer.encode("the hat\r\n")
    assert tokenizer.vocabulary[tokenizer.encode("a\n")[-1]] == "Ċ", "without `newline` a line end is a byte like any other"


@pytest.mark.parametrize("file_text", ["", "{}", '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 2}, "merges": []}}'])
def test_what_is_no_tokenizer_is_refused(file_text):
    with pytest.raises(InputError, match="not a Hugging Face tokenizer|have gaps"):
        bpe.BytePairTokenizer(Rule(kind="huggingface"), file_text)


def test_checkpoints_carry_the_tokenizer_and_folders_give_it_back(corpus, tmp_path, capsys):
    arguments = ["--train", corpus, *TINY, "--vocabulary", "bpe", "--vocab-size", 280]
    run(train, "--out", tmp_path / "whole", *arguments, "--steps", 8)
    run(train, "--out", tmp_path / "parts", *arguments, "--steps", 8, "--stop-after", 3)
    corpus_text = corpus.read_text(encoding="utf-8")
    run(train, "--resume", tmp_path / "parts")
    whole, parts = (checkpoint.load(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert all(weight.equal(parts["model"][name]) for name, weight in whole["model"].items())
    _, tokenizer = checkpoint.restore_model(parts)
    assert tokenizer.encode(corpus_text) == bpe.learn(RULE, corpus_text[: len(corpus_text) * 90 // 100], 280).encode(corpus_text)

    run(export, tmp_path / "parts/best.pt", tmp_path / "model", "--test", tmp_path / "parts/test.txt")
    manifest = json.loads((tmp_path / "model/config.json").read_text(encoding="utf-8"))
    assert manifest["tokenizer"] == {"kind": "huggingface", "file": "tokenizer.json", "eos": "<eos>", "newline": "<eos>"}
    assert (tmp_path / "model/tokenizer.json").read_text(encoding="utf-8") == tokenizer.file_text()
    capsys.readouterr()
    run(evaluate, tmp_path / "model", tmp_path / "parts/test.txt")
    result = json.loads(capsys.readouterr().out)
    test = (tmp_path / "parts/test.txt").read_text(encoding="utf-8")
    assert (result["scored_count"], result["unknown_count"], result["char_count"]) == (len(tokenizer.encode(test)), 0, len(test))
    assert result["bits_per_char"] == pytest.approx(result["bits_per_token"] * result["scored_count"] / len(test))
