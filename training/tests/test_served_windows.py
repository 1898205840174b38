"""Converted models that read a window, through the server: the probabilities are those of the loop in which their applications call them."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import convert
import export
import train
from conftest import run
from served import assert_served_alike
from test_convert_windows import IDS, N, predictions, saved, windows
from test_reading import assert_measured_as_served

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("dtype", ["f32", "f16"])
@pytest.mark.parametrize("mask_zero", [False, True], ids=["read", "masked"])
@pytest.mark.parametrize("name", ["three lstm", "two gru", "two gru reset before", "two simple rnn sigmoid", "two simple rnn relu", "two lstm hard", "gru reset before hard"])
def test_a_window_is_served_as_its_application_reads_it(server_binary, tmp_path, name, mask_zero, dtype):
    model, path = saved(tmp_path, name, N, mask_zero)
    if dtype == "f16":
        model.set_weights([weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()])
        model.save(path)
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt", "--dtype", dtype)
    assert_served_alike(server_binary, tmp_path / "model", IDS, predictions(model, windows()))


def test_a_window_that_was_trained_further_is_served_as_it_is_measured(server_binary, tmp_path, capsys):
    _, path = saved(tmp_path, "lstm", N, True)
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")
    text = write(tmp_path / "text.txt", "the sea sails home a ship the sea " * 60)
    run(train, "--out", tmp_path / "run", "--train", text, "--initial", tmp_path / "model", "--batch-size", 4, "--window", 8, "--steps", 20)
    run(export, tmp_path / "run", tmp_path / "better", "--test", text)
    assert_measured_as_served(server_binary, tmp_path / "better", text, capsys)


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text)
    return path
