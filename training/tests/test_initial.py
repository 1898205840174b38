"""Fine-tuning: a run that starts from the weights of another run's checkpoint."""

import pytest
import torch

import export
import train
from conftest import CHARACTERS, TINY, refusal, run
from test_commands import same


@pytest.fixture
def pretrained(corpus, tmp_path):
    """The checkpoint of a tiny run over characters, all of which must be known."""
    run(train, "--out", tmp_path / "first", "--train", corpus, *TINY, "--tokenizer", CHARACTERS, "--cell", "gru", "--steps", 5)
    return tmp_path / "first/best.pt"


def test_weights_vocabulary_and_commands_are_those_of_the_checkpoint(pretrained, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("shes at sea\nthe ship sails\n" * 20, encoding="utf-8")
    still = ["--learning-rate", 0, "--weight-decay", 0, "--batch-size", 4, "--window", 8]
    run(train, "--out", tmp_path / "second", "--train", other, "--initial", pretrained, *still, "--steps", 2)
    first, second = torch.load(pretrained), torch.load(tmp_path / "second/last.pt")
    for part in ("model", "vocabulary", "rule", "architecture"):
        assert same(first[part], second[part]), part
    assert second["step"] == 2 and len(second["commands"]) == 2
    run(export, tmp_path / "second/last.pt", tmp_path / "model", "--test", other)
    card = (tmp_path / "model/README.md").read_text()
    assert f"| started from | {int(first['data']['train_tokens']):,} tokens, 5 updates, 0 minutes |" in card


def test_it_learns_on_from_there_and_resumes(pretrained, corpus, tmp_path):
    arguments = ["--train", corpus, "--initial", pretrained, "--batch-size", 4, "--window", 8, "--steps", 6]
    run(train, "--out", tmp_path / "whole", *arguments)
    run(train, "--out", tmp_path / "parts", *arguments, "--stop-after", 2)
    run(train, "--resume", tmp_path / "parts")
    first, whole, parts = (torch.load(path) for path in (pretrained, tmp_path / "whole/last.pt", tmp_path / "parts/last.pt"))
    assert same(whole["model"], parts["model"]) and whole["initial"] == parts["initial"]
    assert not same(first["model"], whole["model"])


def test_a_text_that_its_vocabulary_does_not_cover_is_refused(pretrained, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Ω\n" * 50, encoding="utf-8")
    message = refusal(train, "--out", tmp_path / "run", "--train", other, "--initial", pretrained, "--steps", 1)
    assert "does not cover the text: train has" in message and "'Ω'" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [["--cell", "gru"], ["--tie-weights"], ["--hidden-sizes", "8"], ["--vocabulary", "char"], ["--context", "3"]])
def test_what_the_checkpoint_says_may_not_be_given_again(pretrained, corpus, tmp_path, capsys, option):
    with pytest.raises(SystemExit) as caught:
        run(train, "--out", tmp_path / "run", "--train", corpus, "--initial", pretrained, *option, "--steps", 1)
    assert caught.value.code == 2 and f"{option[0]} is settled by --initial" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_is_refused(corpus, tmp_path):
    assert "cannot be read as a checkpoint" in refusal(train, "--out", tmp_path / "run", "--train", corpus, "--initial", corpus, "--steps", 1)
