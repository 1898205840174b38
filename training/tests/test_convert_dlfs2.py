"""Parameter lists of "Deep Learning from Scratch 2", against its equations in NumPy."""

import json
import pathlib
import pickle

import numpy as np
import pytest

import convert
from conftest import refusal, run
from served import assert_served_alike

WORDS = ["the", "sea", "<eos>", "a", "ship", "<unk>", "sails", "home"]
IDS = [2, 0, 1, 6, 5, 3, 7, 2, 4, 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(weights, x, h, c):
    Wx, Wh, b = weights
    return np.tanh(x @ Wx + h @ Wh + b), c


def lstm_step(weights, x, h, c):
    Wx, Wh, b = weights
    f, g, i, o = np.split(x @ Wx + h @ Wh + b, 4)
    c = sigmoid(f) * c + np.tanh(g) * sigmoid(i)
    return sigmoid(o) * np.tanh(c), c


def gru_step(weights, x, h, c):
    Wx, Wh, *b = weights
    (Wxz, Wxr, Wxh), (Whz, Whr, Whh) = np.split(Wx, 3, axis=1), np.split(Wh, 3, axis=1)
    bz, br, bh = np.split(b[0], 3) if b else (0, 0, 0)
    z = sigmoid(x @ Wxz + h @ Whz + bz)
    r = sigmoid(x @ Wxr + h @ Whr + br)
    h_hat = np.tanh(x @ Wxh + (r * h) @ Whh + bh)
    return (1 - z) * h + z * h_hat, c


CELLS = {"rnn": (1, 3, rnn_step), "lstm": (4, 3, lstm_step), "gru": (3, 3, gru_step), "gru without bias": (3, 2, gru_step)}


def parameters(cell: str, layers: int, tied: bool) -> list[np.ndarray]:
    """What `save_params` writes: float16 arrays in the order of the layers."""
    numbers = np.random.default_rng(7)
    gates, arrays, _ = CELLS[cell]
    V, D, H = len(WORDS), 6, 6 if tied else 5
    params = [numbers.normal(0, 0.8, (V, D))]
    for k in range(layers):
        params += [numbers.normal(0, 0.8, shape) for shape in ((H if k else D, gates * H), (H, gates * H), (gates * H,))[:arrays]]
    params += [params[0].T if tied else numbers.normal(0, 0.8, (H, V)), numbers.normal(0, 0.8, V)]
    return [array.astype(np.float16) for array in params]


def probabilities(cell: str, params: list[np.ndarray], ids: list[int]) -> np.ndarray:
    """The book's forward pass, state carried, in double precision."""
    _, arrays, step = CELLS[cell]
    embed_W, *rest, affine_W, affine_b = [array.astype(np.float64) for array in params]
    layers = [rest[k : k + arrays] for k in range(0, len(rest), arrays)]
    states = [(np.zeros(len(weights[1])), np.zeros(len(weights[1]))) for weights in layers]
    probs = []
    for token in ids:
        x = embed_W[token]
        for k, weights in enumerate(layers):
            states[k] = step(weights, x, *states[k])
            x = states[k][0]
        scores = np.exp(x @ affine_W + affine_b)
        probs.append(scores / scores.sum())
    return np.array(probs)


def saved(tmp_path: pathlib.Path, params: object) -> pathlib.Path:
    """The pickle of the parameters, and that of the vocabulary beside it."""
    (tmp_path / "ptb.vocab.pkl").write_bytes(pickle.dumps(({word: k for k, word in enumerate(WORDS)}, dict(enumerate(WORDS)))))
    (tmp_path / "Rnnlm.pkl").write_bytes(pickle.dumps(params))
    return tmp_path / "Rnnlm.pkl"


@pytest.mark.parametrize(("layers", "tied"), [(1, False), (2, True)], ids=["Rnnlm", "BetterRnnlm"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_parameter_lists(server_binary, tmp_path, cell, layers, tied, dtype):
    params = parameters(cell, layers, tied)
    run(convert, saved(tmp_path, params), tmp_path / "model", "--vocab", tmp_path / "ptb.vocab.pkl", "--dtype", dtype)
    assert json.loads((tmp_path / "model/config.json").read_text())["architecture"]["tie_weights"] == tied
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(cell, params, IDS))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_of_pickles_is_read(tmp_path, protocol):
    params = parameters("lstm", 1, False)
    path = saved(tmp_path, params)
    path.write_bytes(pickle.dumps(params, protocol=protocol))
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "ptb.vocab.pkl", "--from", "dlfs2")
    assert (tmp_path / "model/vocab.txt").read_text() == "\n".join(WORDS) + "\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda params: params[:-1],
        lambda params: [*params[:2], *params[3:]],
        lambda params: [params[0], *params[1:3], params[3][:-1], *params[4:]],
        lambda params: {"embed_W": params[0]},
        lambda params: [[0.5]],
        lambda params: [np.full_like(array, np.nan) for array in params],
    ],
    ids=["no bias", "no Wh", "short bias", "dictionary", "no arrays", "not a number"],
)
def test_other_lists_are_refused(tmp_path, change):
    path = saved(tmp_path, change(parameters("lstm", 1, False)))
    assert refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "ptb.vocab.pkl")
    assert not (tmp_path / "model").exists()
