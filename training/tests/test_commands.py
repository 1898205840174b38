"""From a text to a measured model folder, and every way in which input may be refused."""

import json
import lzma
import pathlib
import subprocess
import sys

import pytest
import torch

import evaluate
import export
import train
from conftest import CHARACTERS, TINY, refusal, run


def same(left: object, right: object) -> bool:
    """Equality of nested checkpoints, tensors bit for bit."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_resumed_run_equals_uninterrupted_run_bit_for_bit(corpus, tmp_path, cell):
    arguments = ["--train", corpus, "--cell", cell, *TINY, "--hidden-sizes", 8, 12, "--head", 4, "--samples", 3, "--sampled-until", 0.6]
    run(train, "--out", tmp_path / "whole", *arguments, "--steps", 20)
    run(train, "--out", tmp_path / "parts", *arguments, "--steps", 20, "--stop-after", 9)
    assert torch.load(tmp_path / "parts/last.pt")["step"] == 9
    run(train, "--resume", tmp_path / "parts")
    whole, parts = torch.load(tmp_path / "whole/last.pt"), torch.load(tmp_path / "parts/last.pt")
    assert parts["step"] == 20
    for part in ("model", "optimizer", "state", "generator", "torch_rng"):
        assert same(whole[part], parts[part]), part


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_exported_folder_scores_as_its_card_says(corpus, tmp_path, capsys, dtype):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--tie-weights", "--steps", 30)
    run(export, tmp_path / "run/best.pt", tmp_path / "model", "--test", tmp_path / "run/test.txt", "--dtype", dtype)
    capsys.readouterr()
    run(evaluate, tmp_path / "model", tmp_path / "run/test.txt", "--contexts", "1,3")
    result = json.loads(capsys.readouterr().out)
    assert f"| {result['perplexity']:.4f} |" in (tmp_path / "model/README.md").read_text()
    assert 1.0 < result["perplexity"] < 15.0
    assert set(result["perplexity_by_context"]) == {"1", "3"}
    names = {"config.json", "model.safetensors", "vocab.txt", "README.md"}
    assert {path.name for path in (tmp_path / "model").iterdir()} == names


def test_xz_and_plain_text_train_alike(corpus, tmp_path):
    packed = tmp_path / "corpus.txt.xz"
    packed.write_bytes(lzma.compress(corpus.read_bytes()))
    for path in (corpus, packed):
        run(train, "--out", tmp_path / path.suffix, "--train", path, *TINY, "--vocabulary", "char", "--steps", 3)
    assert same(torch.load(tmp_path / ".txt/last.pt")["model"], torch.load(tmp_path / ".xz/last.pt")["model"])


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b"abc \xff def", "not UTF-8: byte 0xff at offset 4"), (b"one\n", "too short")],
)
def test_bad_corpus_is_refused_and_leaves_nothing(tmp_path, data, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    assert message in refusal(train, "--out", tmp_path / "run", "--train", path, "--valid", path, *TINY, "--steps", 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vocabulary", "syllables"], "`syllables` is not supported"),
        (["--vocabulary", "bpe", "--vocab-size", "256"], "expected at least 257"),
        (["--cell", "transformer"], "`transformer` is not supported"),
        (["--split", "90/10"], "split `90/10`"),
        (["--tokenizer", str(CHARACTERS), "--vocab-size", "5"], "a vocabulary of 5 does not cover it"),
        (["--tie-weights", "--hidden-sizes", "9"], "tied weights"),
        (["--tokenizer", "no-such.json"], "`no-such.json` cannot be read"),
    ],
)
def test_bad_arguments_are_refused(corpus, tmp_path, arguments, message):
    assert message in refusal(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 1, *arguments)
    assert not (tmp_path / "run").exists()


def test_vocabulary_that_does_not_cover_the_text_is_refused(corpus, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Ω is not in the corpus\n", encoding="utf-8")
    message = refusal(train, "--out", tmp_path / "run", "--train", corpus, "--valid", other, *TINY, "--tokenizer", CHARACTERS, "--steps", 1)
    assert "does not cover the text: valid has" in message and "'Ω' 1" in message


def test_nothing_is_overwritten(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    assert "is not overwritten" in refusal(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    (tmp_path / "model").mkdir()
    assert "is not overwritten" in refusal(export, tmp_path / "run/last.pt", tmp_path / "model", "--test", corpus)
    assert list((tmp_path / "model").iterdir()) == []


def test_export_measures_what_was_kept_back_or_asks_for_a_text(corpus, tmp_path, capsys):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    run(export, tmp_path / "run/last.pt", tmp_path / "model")
    assert "on test.txt" in capsys.readouterr().out
    (tmp_path / "run/test.txt").unlink()
    assert "test.txt`, which train.py leaves" in refusal(export, tmp_path / "run/last.pt", tmp_path / "other")


def test_resume_on_another_text_is_refused(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    corpus.write_text(corpus.read_text().replace("sea", "ship"))
    assert "is not the text" in refusal(train, "--resume", tmp_path / "run", "--steps", 4)


def test_resume_takes_new_options_but_not_those_its_place_depends_on(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    assert "`batch_size` cannot change" in refusal(train, "--resume", tmp_path / "run", "--batch-size", 8)
    run(train, "--resume", tmp_path / "run", "--steps", 4, "--dropout", 0, "--weight-decay", 0.5)
    values = torch.load(tmp_path / "run/last.pt")
    assert (values["step"], values["options"]["dropout"]) == (4, 0.0)
    assert values["optimizer"]["param_groups"][0]["weight_decay"] == 0.5
    assert len(values["commands"]) == 2


@pytest.mark.parametrize("given", [["--cell", "gru"], ["--hidden-sizes", "9"], ["--vocabulary", "char"], ["--tie-weights"], ["--train", "other.txt"]])
def test_a_resumed_run_keeps_its_network_and_its_text(corpus, tmp_path, capsys, given):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    before = (tmp_path / "run/last.pt").read_bytes()
    with pytest.raises(SystemExit) as caught:
        run(train, "--resume", tmp_path / "run", "--steps", 4, *given)
    assert caught.value.code == 2 and f"{given[0]} is settled by --resume" in capsys.readouterr().err
    assert (tmp_path / "run/last.pt").read_bytes() == before


def test_weights_of_another_architecture_are_refused(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    values = torch.load(tmp_path / "run/last.pt")
    values["architecture"]["cell"] = "gru"
    torch.save(values, tmp_path / "run/last.pt")
    foreign = tmp_path / "model.pt"
    torch.save(values["model"], foreign)
    for path, message in [(tmp_path / "run/last.pt", "not those of its architecture, gru (8,)"), (foreign, "not a checkpoint of this program")]:
        assert message in refusal(export, path, tmp_path / "model", "--test", corpus)
        assert message in refusal(train, "--out", tmp_path / "new", "--train", corpus, "--initial", path, "--steps", 1)
    assert not (tmp_path / "model").exists() and not (tmp_path / "new").exists()


def test_hostile_checkpoint_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (exec, ("raise SystemExit(99)",))

    path = tmp_path / "last.pt"
    torch.save({"format": Hostile()}, path)
    assert "cannot be read as a checkpoint" in refusal(train, "--resume", tmp_path)
    path.write_bytes(b"not a checkpoint")
    assert "cannot be read as a checkpoint" in refusal(train, "--resume", tmp_path)


def test_a_run_without_an_end_is_a_usage_error(corpus, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run(train, "--out", tmp_path / "run", "--train", corpus)
    assert caught.value.code == 2 and "needs an end" in capsys.readouterr().err


def test_a_refusal_is_one_line_and_exit_status_1(tmp_path):
    command = [sys.executable, pathlib.Path(train.__file__), "--out", tmp_path / "run", "--train", tmp_path / "none.txt", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
