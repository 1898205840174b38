"""Keras models that are called on the last N ids, padded in front: graph and manifest say so, and give the probabilities of that loop."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np
import onnxruntime
import pytest
import torch

import convert
import evaluate
import export
import train
from conftest import refusal, run
from rnnlm import reading

os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
from keras import layers  # noqa: E402

N = 5
WORDS = ["<pad>", "the", "sea", "a", "ship", "sails", "home"]
V = len(WORDS)
IDS = [1, 2, 5, 6, 3, 4, 2, 1, 6, 5, 1, 1]

pytestmark = pytest.mark.filterwarnings("ignore")

RECURRENT = {
    "lstm": lambda: [layers.LSTM(6)],
    "gru": lambda: [layers.GRU(6)],
    "gru reset before": lambda: [layers.GRU(6, reset_after=False)],
    "simple rnn": lambda: [layers.SimpleRNN(6)],
    "simple rnn relu": lambda: [layers.SimpleRNN(6, activation="relu")],
    "simple rnn sigmoid": lambda: [layers.SimpleRNN(6, activation="sigmoid")],
    "lstm hard": lambda: [layers.LSTM(6, recurrent_activation="hard_sigmoid")],
    "two lstm hard": lambda: [layers.LSTM(6, recurrent_activation="hard_sigmoid", return_sequences=True), layers.LSTM(4, recurrent_activation="hard_sigmoid")],
    "two gru hard": lambda: [layers.GRU(6, recurrent_activation="hard_sigmoid", return_sequences=True), layers.GRU(4, recurrent_activation="hard_sigmoid")],
    "gru reset before hard": lambda: [layers.GRU(6, recurrent_activation="hard_sigmoid", reset_after=False)],
    "lstm without bias": lambda: [layers.LSTM(6, use_bias=False)],
    "three lstm": lambda: [layers.LSTM(6, return_sequences=True), layers.LSTM(4, return_sequences=True), layers.LSTM(5)],
    "two gru": lambda: [layers.GRU(6, return_sequences=True), layers.GRU(4)],
    "two gru reset before": lambda: [layers.GRU(6, reset_after=False, return_sequences=True), layers.GRU(4, reset_after=False)],
    "two simple rnn": lambda: [layers.SimpleRNN(6, return_sequences=True), layers.SimpleRNN(4)],
    "two simple rnn relu": lambda: [layers.SimpleRNN(6, activation="relu", return_sequences=True), layers.SimpleRNN(4, activation="relu")],
    "two simple rnn sigmoid": lambda: [layers.SimpleRNN(6, activation="sigmoid", return_sequences=True), layers.SimpleRNN(4, activation="sigmoid")],
}


def saved(tmp_path: pathlib.Path, name: str, length: int | None, mask_zero: bool) -> tuple[keras.Model, pathlib.Path]:
    """A model with weights as large as trained ones, and its file, with its words beside it."""
    model = keras.Sequential([layers.Input((length,)), layers.Embedding(V, 4, mask_zero=mask_zero), *RECURRENT[name](), layers.Dense(V, activation="softmax")])
    numbers = np.random.default_rng(5)
    model.set_weights([numbers.normal(0, 0.7, weight.shape) for weight in model.get_weights()])
    path = tmp_path / "model.keras"
    model.save(path)
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    return model, path


def windows(length: int = N, pad: int = 0) -> np.ndarray:
    """`pad_sequences(ids[:k], maxlen=N)` for every k."""
    return np.array([([pad] * length + IDS[: k + 1])[-length:] for k in range(len(IDS))])


def assert_computes(folder: pathlib.Path, expected: np.ndarray, read: np.ndarray) -> None:
    """The graph of a folder, and the network that evaluate.py reads from it, on every window."""
    assert np.ptp(expected, axis=1).min() > 0.05, "nearly uniform probabilities would not show a mistake"
    (logits,) = onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], {"tokens": read})
    scores = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(scores / scores.sum(1, keepdims=True), expected, rtol=0, atol=1e-6)
    network, _ = reading.read(folder)
    with torch.no_grad():
        outputs, _ = network(torch.tensor(IDS)[:, None], network.zero_state(1))
        np.testing.assert_allclose(network.decoder(outputs[:, 0]).softmax(1).numpy(), expected, rtol=0, atol=1e-6)


def predictions(model: keras.Model, read: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(read)).astype(np.float64)


@pytest.mark.parametrize("mask_zero", [False, True], ids=["read", "masked"])
@pytest.mark.parametrize("name", RECURRENT)
def test_a_window_is_read_as_its_application_reads_it(tmp_path, name, mask_zero):
    model, path = saved(tmp_path, name, N, mask_zero)
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")
    manifest = json.loads((tmp_path / "model/config.json").read_text())
    assert manifest["onnx"] == {"tokens": "tokens", "logits": "logits", "window": N, "pad": "<pad>"}
    assert_computes(tmp_path / "model", predictions(model, windows()), windows())


def test_padding_matters_in_these_models(tmp_path):
    """Otherwise the tests above would pass whatever the padding is."""
    for mask_zero in (False, True):
        model, _ = saved(tmp_path, "lstm", N, mask_zero)
        zeros, ones = predictions(model, windows()), predictions(model, windows(pad=1))
        assert abs(zeros - ones)[: N - 1].max() > 0.01 and abs(zeros - ones)[N - 1 :].max() == 0.0
    masked = predictions(model, windows())[0]
    assert abs(masked - predictions(saved(tmp_path, "lstm", N, False)[0], windows())[0]).max() > 0.05


def test_a_length_that_the_file_does_not_say_is_asked_for(tmp_path):
    model, path = saved(tmp_path, "gru", None, False)
    arguments = [path, tmp_path / "model", "--vocab", tmp_path / "words.txt"]
    message = refusal(convert, *arguments)
    assert "--window N" in message and "--window none" in message
    run(convert, *arguments, "--window", 7, "--pad", 3)
    assert json.loads((tmp_path / "model/config.json").read_text())["onnx"]["pad"] == "a"
    assert_computes(tmp_path / "model", predictions(model, windows(7, 3)), windows(7, 3))


def test_a_sequence_of_fixed_length_may_be_either_and_is_asked_for(tmp_path):
    model = keras.Sequential([layers.Input((N,)), layers.Embedding(V, 4), layers.LSTM(6, return_sequences=True), layers.Dense(V, activation="softmax")])
    model.save(tmp_path / "model.keras")
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    arguments = [tmp_path / "model.keras", tmp_path / "model", "--vocab", tmp_path / "words.txt"]
    assert f"has an input of exactly {N} tokens" in refusal(convert, *arguments)
    run(convert, *arguments, "--window", "none")
    assert "onnx" not in json.loads((tmp_path / "model/config.json").read_text())


def test_a_stateful_model_carries_its_state_on(tmp_path):
    model = keras.Sequential([layers.Input(batch_shape=(1, N)), layers.Embedding(V, 4), layers.LSTM(6, stateful=True), layers.Dense(V, activation="softmax")])
    model.save(tmp_path / "model.keras")
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    run(convert, tmp_path / "model.keras", tmp_path / "model", "--vocab", tmp_path / "words.txt")
    assert json.loads((tmp_path / "model/config.json").read_text())["weights"] == "model.safetensors"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pad", "1"], "--pad is 1, but the network skips the id 0"),
        (["--window", "none", "--pad", "0"], "carries its state from token to token"),
        (["--dtype", "bf16"], "as f32 or f16"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, arguments, message):
    _, path = saved(tmp_path, "lstm", N, True)
    assert message in refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt", *arguments)


def test_a_pad_beyond_the_vocabulary_and_a_window_of_nothing_are_refused(tmp_path, capsys):
    _, path = saved(tmp_path, "lstm", N, False)
    assert "ids from 0 to 6" in refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt", "--pad", 7)
    for length in ("0", "-3", "all"):
        with pytest.raises(SystemExit):
            run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt", f"--window={length}")
        assert "neither a positive number nor `none`" in capsys.readouterr().err


def test_a_converted_window_is_measured_and_trained_further(tmp_path, capsys):
    _, path = saved(tmp_path, "lstm", N, True)
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")
    text = tmp_path / "text.txt"
    text.write_text("the sea sails home\na ship the sea\n".replace("\n", " ") * 60)
    capsys.readouterr()
    run(evaluate, tmp_path / "model", text)
    before = json.loads(capsys.readouterr().out)["perplexity"]
    run(train, "--out", tmp_path / "run", "--train", text, "--initial", tmp_path / "model", "--batch-size", 4, "--window", 8, "--steps", 60, "--warmup-steps", 2, "--learning-rate", 0.02)
    saved_shape = torch.load(tmp_path / "run/last.pt")["architecture"]
    assert (saved_shape["context"], saved_shape["pad"], saved_shape["cell"]) == (N, 0, "lstm")
    run(export, tmp_path / "run/best.pt", tmp_path / "better", "--test", text)
    capsys.readouterr()
    run(evaluate, tmp_path / "better", text)
    assert json.loads(capsys.readouterr().out)["perplexity"] < before / 2
    assert json.loads((tmp_path / "better/config.json").read_text())["onnx"]["window"] == N
