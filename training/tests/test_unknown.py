"""What a vocabulary leaves unknown is said before a run, and stands beside every perplexity."""

from __future__ import annotations

import csv
import json
import math
import pathlib

import pytest
import torch
from torch.nn import functional

import evaluate
import export
import train
from conftest import CHARACTERS, TINY, refusal, run
from rnnlm import coverage, reading
from rnnlm.tokenizer import RULES, Tokenizer
from rnnlm.vocabulary import Limits, learn

JAPANESE = "吾輩は猫である。名前はまだ無い。\nどこで生れたか頓と見当がつかぬ。\n"


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_bytes(text.encode())
    return path


def test_rare_characters_are_unknown_and_others_are_not():
    text = "ab" * 10 + "c" * 5 + "d" * 4 + "\n"
    assert learn(RULES["char"], text, Limits(100)).vocabulary == ["<unk>", "\n", "a", "b", "c"]
    assert learn(RULES["char"], text, Limits(100, count_min=1)).vocabulary == ["<unk>", "\n", "a", "b", "c", "d"]
    assert learn(RULES["word"], "a a b b c", Limits(100)).vocabulary == ["<unk>", "<eos>", "a", "b"]
    assert learn(RULES["word"], "a a a b b c", Limits(100, count_min=3)).vocabulary == ["<unk>", "<eos>", "a"]


def test_ordinary_text_is_trained_and_exported_by_characters(corpus, tmp_path, capsys):
    """Its held-back parts have characters that the part to learn from lacks."""
    text = corpus.read_text()
    places = {0.92: "/", 0.97: "$$"}
    for share, more in places.items():
        at = int(len(text) * share)
        text = text[:at] + more + text[at:]
    write(corpus, text)
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--vocabulary", "char", "--steps", 5)
    printed = capsys.readouterr().out
    valid, test = (line for line in printed.splitlines() if line.startswith(("valid:", "test:")))
    assert "'/' 1" in valid and "'$' 2" in test
    assert "unknown" in printed.partition("parameters")[0], "said before training begins"
    run(export, tmp_path / "run/best.pt", tmp_path / "model")
    result = measured(tmp_path / "model", tmp_path / "run/test.txt", capsys)
    assert result["unknown_count"] == (tmp_path / "run/test.txt").read_text().count("$")


def test_a_part_that_the_vocabulary_does_not_cover_stops_the_run_before_training(corpus, tmp_path):
    text = corpus.read_text()
    write(corpus, text + "/" * 3 + "\n")
    message = refusal(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--tokenizer", CHARACTERS, "--steps", 1)
    assert "test has 3 tokens that it lacks: '/' 3" in message
    assert not (tmp_path / "run").exists()


def measured(model: pathlib.Path, text: pathlib.Path, capsys: pytest.CaptureFixture) -> dict[str, float]:
    capsys.readouterr()
    run(evaluate, model, text)
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def mostly_unknown(corpus, tmp_path) -> pathlib.Path:
    """The folder of a tiny run whose vocabulary has three words."""
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--vocab-size", 5, "--steps", 30, "--valid-every", 0)
    return tmp_path / "run"


def test_the_perplexity_of_known_tokens_is_that_of_its_definition(mostly_unknown, tmp_path, capsys):
    run(export, mostly_unknown / "best.pt", tmp_path / "model")
    card = (tmp_path / "model/README.md").read_text()
    text = mostly_unknown / "test.txt"
    found = measured(tmp_path / "model", text, capsys)
    network, tokenizer = reading.read(tmp_path / "model")
    tokens = tokenizer.encode(text.read_text())
    ids = torch.tensor(tokenizer.initial_ids() + tokens)
    with torch.no_grad():
        outputs, _ = network.double()(ids[:-1, None], network.zero_state(1))
        losses = functional.cross_entropy(network.decoder(outputs[:, 0]), ids[1:], reduction="none")
    known = losses[ids[1:] != tokenizer.unk_id]
    assert 0 < len(known) < 0.7 * len(losses)
    assert found["known_perplexity"] == pytest.approx(math.exp(known.mean()))
    assert found["known_perplexity"] > 1.2 * found["perplexity"] == pytest.approx(1.2 * math.exp(losses.mean()))
    assert found["unknown_share"] == pytest.approx(1 - len(known) / len(losses))
    assert f"({found['unknown_share']:.2%}) | {found['perplexity']:.4f} | {found['known_perplexity']:.4f} |" in card


def test_every_perplexity_has_its_share_of_unknown_tokens_beside_it(mostly_unknown, tmp_path, capsys):
    for line in (mostly_unknown / "train.log").read_text().splitlines():
        assert line.count("% of train") == line.count("% of valid") == line.count("valid ppl without them") == 1
    with (mostly_unknown / "log.csv").open() as file:
        validations = [row for row in csv.DictReader(file) if row["valid_loss"]]
    assert validations and all(float(row["valid_loss_known"]) > float(row["valid_loss"]) for row in validations)
    capsys.readouterr()
    run(export, mostly_unknown / "best.pt", tmp_path / "model")
    printed = capsys.readouterr()
    assert "% of the tokens unknown, " in printed.out and " without them" in printed.out
    assert "warning: " in printed.err and "of the tokens of test.txt are unknown" in printed.err
    run(evaluate, tmp_path / "model", mostly_unknown / "test.txt")
    assert "are unknown" in capsys.readouterr().err


def test_text_without_spaces_between_words_is_warned_of_before_training(tmp_path, capsys):
    text = write(tmp_path / "cat.txt", "".join(f"{JAPANESE}{number}\n" for number in range(200)))
    run(train, "--out", tmp_path / "run", "--train", text, *TINY, "--steps", 1)
    warned = capsys.readouterr().err
    assert "use --vocabulary char or --vocabulary bpe" in warned
    for vocabulary in ("char", "bpe"):
        run(train, "--out", tmp_path / vocabulary, "--train", text, *TINY, "--vocabulary", vocabulary, "--vocab-size", 400, "--steps", 1)
        assert "--vocabulary char or" not in capsys.readouterr().err


def test_a_share_above_a_tenth_is_warned_of_and_a_lower_one_is_not(capsys):
    tokenizer = Tokenizer(RULES["whitespace"], ["<unk>", "<eos>", "a"])
    for known, warned in ((8, True), (10, False)):
        part = coverage.measure("valid", tokenizer, "a " * known + "b")
        coverage.report(tokenizer, [part], "a b")
        printed = capsys.readouterr()
        assert ("warning" in printed.err) == warned
        assert printed.out == f"valid: {known + 1:,} tokens, 1 unknown ({1 / (known + 1):.2%}): 'b' 1\n"


def test_unknown_tokens_that_the_text_spells_out_are_counted_too():
    part = coverage.measure("train", Tokenizer(RULES["whitespace"], ["<unk>", "<eos>", "a"]), "a <unk> b")
    assert (part.unknown_count, dict(part.unknown)) == (2, {"b": 1})
