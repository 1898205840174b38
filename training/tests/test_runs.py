"""How a run begins, stops, continues and logs."""

from __future__ import annotations

import csv
import math
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
import torch

import evaluate
import export
import train
from conftest import REPOSITORY, TINY, refusal, run
from rnnlm import trainer, training_log
from test_commands import same


def rows(folder: pathlib.Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "0", "accepted are 1 to"),
        ("--batch-size", "0", "accepted are 1 to"),
        ("--batch-size", "many", "`many` is not a whole number"),
        ("--window", "0", "accepted are 1 to"),
        ("--dropout", "1.5", "accepted are 0 and numbers below 1"),
        ("--dropout", "1", "accepted are 0 and numbers below 1"),
        ("--embedding-dropout", "-0.1", "accepted are 0 and numbers below 1"),
        ("--time-limit", "-5", "accepted are numbers above 0"),
        ("--time-limit", "0", "accepted are numbers above 0"),
        ("--time-limit", "inf", "is not finite"),
        ("--learning-rate", "nan", "is not finite"),
        ("--learning-rate", "-1", "accepted are 0 to"),
        ("--warmup-steps", "-1", "accepted are 0 to"),
        ("--sampled-until", "2", "accepted are 0 to 1"),
        ("--seed", "-1", "accepted are 0 to"),
        ("--clip", "0", "accepted are numbers above 0"),
        ("--valid-every", "-1", "accepted are 0 to"),
        ("--log-every", "0", "accepted are 1 to"),
        ("--stop-after", "0", "accepted are 1 to"),
        ("--threads", "0", "accepted are 1 to"),
        ("--vocab-size", "0", "accepted are 1 to"),
        ("--min-count", "0", "accepted are 1 to"),
        ("--embedding-size", "0", "accepted are 1 to"),
        ("--hidden-sizes", "0", "accepted are 1 to"),
        ("--context", "0", "accepted are 1 to"),
    ],
)
def test_options_out_of_range_are_usage_errors(corpus, tmp_path, capsys, option, value, message):
    with pytest.raises(SystemExit) as caught:
        run(train, "--out", tmp_path / "run", "--train", corpus, "--steps", 1, f"{option}={value}")
    printed = capsys.readouterr().err
    assert caught.value.code == 2 and message in printed and option in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("command", "arguments"), [(evaluate, ["--every", "0"]), (evaluate, ["--threads", "0"]), (export, ["--threads", "-1"])])
def test_options_of_the_other_commands_are_bounded_too(tmp_path, capsys, command, arguments):
    with pytest.raises(SystemExit) as caught:
        run(command, tmp_path, tmp_path, *arguments)
    assert caught.value.code == 2 and "accepted are 1 to" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cuda", "tpu"])
def test_a_device_that_is_not_there_is_refused(corpus, tmp_path, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert f"device `{device}`" in refusal(train, "--out", tmp_path / "run", "--train", corpus, "--steps", 1, "--device", device)
    assert not (tmp_path / "run").exists()


def test_a_start_that_fails_leaves_no_folder_in_the_way_of_a_retry(corpus, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    arguments = ["--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2]
    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "_update", fail)
        with pytest.raises(RuntimeError):
            run(train, *arguments)
    assert not (tmp_path / "run").exists()
    run(train, *arguments)


def test_a_failure_after_a_checkpoint_keeps_it(corpus, tmp_path, monkeypatch):
    update = trainer.Trainer._update

    def fail_at_the_third(self, progress: float) -> trainer.Update:
        if self.step == 2:
            raise RuntimeError("out of memory")
        return update(self, progress)

    monkeypatch.setattr(trainer.Trainer, "_update", fail_at_the_third)
    with pytest.raises(RuntimeError):
        run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 4, "--checkpoint-every", 0)
    assert torch.load(tmp_path / "run/last.pt")["step"] == 2


def test_a_run_that_stops_before_its_first_validation_names_the_checkpoint_that_is_there(corpus, tmp_path, capsys):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 9, "--stop-after", 3)
    printed = capsys.readouterr().out
    assert f"export {tmp_path / 'run/last.pt'}" in printed and "best.pt" not in printed and not (tmp_path / "run/best.pt").exists()
    run(export, tmp_path / "run", tmp_path / "early")
    run(train, "--resume", tmp_path / "run")
    assert f"the lowest loss on valid is in {tmp_path / 'run/best.pt'}" in capsys.readouterr().out
    run(export, tmp_path / "run", tmp_path / "best")
    assert "5 updates" not in (tmp_path / "best/README.md").read_text() and ", 9 updates," in (tmp_path / "best/README.md").read_text()
    assert ", 3 updates," in (tmp_path / "early/README.md").read_text()


def test_ctrl_c_ends_a_run_with_a_checkpoint_that_is_named(corpus, tmp_path):
    command = [sys.executable, train.__file__, "--out", tmp_path / "run", "--train", corpus, *TINY, "--time-limit", "300", "--log-every", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # The log's second line says that an update is done.
        while not (tmp_path / "run/log.csv").exists() or len((tmp_path / "run/log.csv").read_text().splitlines()) < 2:
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    named = re.search(r"export (\S+),", out)[1]
    assert pathlib.Path(named).is_file() and "best.pt" not in out


def test_a_run_is_resumed_from_any_directory(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--train", corpus.name, "--valid", corpus.name, *TINY, "--steps", 6]
    run(train, "--out", "whole", *arguments)
    run(train, "--out", "parts", *arguments, "--stop-after", 2)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run(train, "--resume", "../parts")
    whole, parts = (torch.load(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert same(whole["model"], parts["model"])


def test_a_text_that_is_gone_is_named(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    corpus.unlink()
    assert str(corpus) in refusal(train, "--resume", tmp_path / "run", "--steps", 4)


@pytest.mark.parametrize("vocabulary", ["word", "whitespace", "char", "bpe"])
def test_line_ends_of_every_kind_are_read_alike(corpus, tmp_path, vocabulary):
    text = corpus.read_text()
    weights = []
    for name, end in (("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")):
        path = tmp_path / f"{name}.txt"
        path.write_text(text.replace("\n", end), newline="")
        run(train, "--out", tmp_path / name, "--train", path, *TINY, "--vocabulary", vocabulary, "--vocab-size", 300, "--steps", 3)
        weights.append(torch.load(tmp_path / name / "last.pt"))
    assert same(weights[0]["model"], weights[1]["model"]) and same(weights[0]["model"], weights[2]["model"])
    assert weights[0]["vocabulary"] == weights[1]["vocabulary"] == weights[2]["vocabulary"]
    assert (tmp_path / "cr/test.txt").read_bytes() == (tmp_path / "lf/test.txt").read_bytes()


def test_the_log_has_the_loss_the_gradient_and_the_speed(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 10, "--log-every", 4, "--learning-rate", 0.01)
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found] == ["4", "8", "10", "10"]
    for row in found[:3]:
        assert 0 < float(row["train_loss"]) < 20 and float(row["gradient_norm"]) > 0 and float(row["tokens_per_second"]) > 0
    assert float(found[1]["learning_rate"]) < 0.01 and float(found[3]["valid_loss"]) > 0 and not found[3]["gradient_norm"]
    values = torch.load(tmp_path / "run/last.pt")
    assert math.isclose(float(found[3]["valid_loss"]), values["best_valid"], rel_tol=1e-5)


def test_a_resumed_run_continues_its_log_where_its_checkpoint_is(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 12, "--log-every", 2, "--stop-after", 6)
    with (tmp_path / "run/log.csv").open("a") as file:
        file.write("8,0.1,9,0,1,1,1,,\n")  # of a run that was killed after its checkpoint
    run(train, "--resume", tmp_path / "run")
    assert [int(row["step"]) for row in rows(tmp_path / "run")] == [2, 4, 6, 8, 10, 12, 12]


class Recorded:
    """What is sent to TensorBoard, in place of its writer."""

    def __init__(self) -> None:
        self.scalars: dict[str, list[int]] = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.setdefault(name, []).append(step)

    def close(self) -> None:
        self.closed = True


def test_tensorboard_gets_the_same_where_it_is_installed(corpus, tmp_path, monkeypatch):
    recorded = Recorded()
    monkeypatch.setattr(training_log, "tensorboard_writer", lambda *_: recorded)
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 4, "--log-every", 2)
    assert recorded.scalars["gradient_norm"] == recorded.scalars["tokens_per_second"] == [2, 4]
    assert recorded.scalars["train_loss"] == [2, 4, 4] and recorded.scalars["valid_loss"] == [4] and recorded.closed


def test_the_bar_of_a_run_limited_by_time_says_how_long_it_will_take(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(trainer, "BAR_SECONDS", 0.0)
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--time-limit", 1.0)
    bars = capsys.readouterr().err.split("\r")
    assert any(re.search(r"[1-9]\d?%\|.*\[00:0\d<00:0\d, step \d+, ppl ", bar) for bar in bars), bars[-3:]


def test_models_of_users_are_ignored_by_git_and_those_that_ship_are_not():
    def ignored(path: str) -> bool:
        return subprocess.run(["git", "check-ignore", "--quiet", "--no-index", path], cwd=REPOSITORY).returncode == 0

    if not (REPOSITORY / ".git").exists():
        lacking = "this is not a git repository"
        pytest.fail(lacking) if os.environ.get("CI") == "true" else pytest.skip(lacking)
    assert ignored("models/mine/model.safetensors") and ignored("models/mine/config.json") and ignored("checkpoints/mine/last.pt")
    shipped = subprocess.run(["git", "ls-files", "models"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert shipped and not any(map(ignored, shipped))


