"""Character models whose vocabulary is in the file, in the program, or only in the text that they were trained on."""

from __future__ import annotations

import contextlib
import json
import pathlib
import pickle
import string
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

import char_sources
import convert
from char_sources import CharRNN, UdacityCharRNN, textgenrnn_probabilities, textgenrnn_weights
from conftest import refusal, run
from rnnlm.errors import InputError
from rnnlm.tokenizer import parse_vocabulary
from served import assert_served_alike
from torch_sources import RNNModel, probabilities, randomised

CHARS = tuple("sea hip'\n")
IDS = [3, 1, 4, 1, 5, 8, 2, 6, 0, 7]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("model", ["gru", "lstm"])
def test_module_of_char_rnn_pytorch(server_binary, tmp_path, model, zipped):
    module = randomised(CharRNN(len(string.printable), 9, len(string.printable), model, 2), seed=1)
    module.decoder.weight.data *= 4  # otherwise the probabilities of a hundred characters would be nearly equal
    torch.save(module, tmp_path / "shakespeare.pt", _use_new_zipfile_serialization=zipped)
    run(convert, tmp_path / "shakespeare.pt", tmp_path / "model")
    ids = [string.printable.index(char) for char in "ROMEO: 'tis\nx"]
    assert_served_alike(server_binary, tmp_path / "model", ids, probabilities(module, ids))


@pytest.mark.parametrize("form", ["dictionary", "module"])
def test_char_rnn_of_udacity(server_binary, tmp_path, monkeypatch, form):
    module = randomised(UdacityCharRNN(CHARS, 7, 2), seed=2)
    if form == "module":
        monkeypatch.setattr(char_sources, "CharRNN", UdacityCharRNN)
        torch.save(module, tmp_path / "rnn.net")
    else:
        torch.save({"n_hidden": 7, "n_layers": 2, "state_dict": module.state_dict(), "tokens": module.chars}, tmp_path / "rnn.net")
    run(convert, tmp_path / "rnn.net", tmp_path / "model")
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(module, IDS))


def britz_parameters() -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(4)
    return {"U": numbers.normal(0, 0.8, (6, 9)), "V": numbers.normal(0, 0.8, (9, 6)), "W": numbers.normal(0, 0.8, (6, 6))}


def test_npz_of_britz(server_binary, tmp_path):
    parameters = britz_parameters()
    np.savez(tmp_path / "trained-model-theano.npz", **parameters)
    (tmp_path / "chars.json").write_text(json.dumps(CHARS))
    run(convert, tmp_path / "trained-model-theano.npz", tmp_path / "model", "--vocab", tmp_path / "chars.json")
    state = np.zeros(6)
    probs = []
    for token in IDS:
        state = np.tanh(parameters["U"][:, token] + parameters["W"] @ state)
        scores = np.exp(parameters["V"] @ state)
        probs.append(scores / scores.sum())
    assert_served_alike(server_binary, tmp_path / "model", IDS, np.array(probs))


def britz_gru_parameters(layer_count: int) -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(9)
    shapes = {"E": (6, 9), "U": (3 * layer_count, 6, 6), "W": (3 * layer_count, 6, 6), "V": (9, 6), "b": (3 * layer_count, 6), "c": (9,)}
    return {name: numbers.normal(0, 0.9, shape) for name, shape in shapes.items()}


def britz_gru_probabilities(parameters: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """The tutorial's equations, in double precision."""
    e, u, w, v, b, c = (parameters[name] for name in "EUWVbc")
    states = [np.zeros(6) for _ in range(len(u) // 3)]
    probs = []
    for token in ids:
        x = e[:, token]
        for layer, s in enumerate(states):
            z, r, n = range(3 * layer, 3 * layer + 3)
            update = np.clip(0.2 * (u[z] @ x + w[z] @ s + b[z]) + 0.5, 0, 1)
            reset = np.clip(0.2 * (u[r] @ x + w[r] @ s + b[r]) + 0.5, 0, 1)
            candidate = np.tanh(u[n] @ x + w[n] @ (s * reset) + b[n])
            x = states[layer] = (1 - update) * candidate + update * s
        scores = np.exp(v @ x + c)
        probs.append(scores / scores.sum())
    return np.array(probs)


@pytest.mark.parametrize("layer_count", [1, 2])
def test_npz_of_the_gru_of_britz(server_binary, tmp_path, layer_count):
    """Its vocabulary is a pickled list; sentences begin and end with entries of their own."""
    parameters = britz_gru_parameters(layer_count)
    np.savez(tmp_path / "GRU.npz", **parameters)
    words = ["<MASK/>", "UNKNOWN_TOKEN", "sails", "home", "a", "ship", "the", "SENTENCE_END", "SENTENCE_START"]
    (tmp_path / "words.pkl").write_bytes(pickle.dumps(words, protocol=2))
    run(convert, tmp_path / "GRU.npz", tmp_path / "model", "--vocab", tmp_path / "words.pkl")
    manifest = json.loads((tmp_path / "model/config.json").read_text())
    assert (manifest["initial_tokens"], manifest["tokenizer"]["newline"]) == (["SENTENCE_START"], "SENTENCE_END")
    ids = [8, 6, 5, 2, 3, 1, 4, 5, 2]
    assert_served_alike(server_binary, tmp_path / "model", ids, britz_gru_probabilities(parameters, ids))


def test_other_archives_of_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "axes.npz", **{name: np.zeros((2, 2)) for name in "EUWVbc"})
    assert "holds `U` with 2 axes; expected 3" in refusal(convert, tmp_path / "axes.npz", tmp_path / "model")
    np.savez(tmp_path / "gates.npz", **(britz_gru_parameters(2) | {"b": np.zeros((5, 6))}))
    assert "6 gates in `U`, 6 gates in `W`, 5 gates in `b`; expected 3 for each layer" in refusal(convert, tmp_path / "gates.npz", tmp_path / "model")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    assert "holds the arrays x" in refusal(convert, tmp_path / "other.npz", tmp_path / "model")
    np.savez(tmp_path / "objects.npz", U=np.array([{}], object), V=np.zeros(1), W=np.zeros(1))
    assert "cannot be read as NumPy arrays" in refusal(convert, tmp_path / "objects.npz", tmp_path / "model")
    np.savez(tmp_path / "shapes.npz", U=np.zeros(3), V=np.zeros((3, 3)), W=np.zeros((3, 3)))
    assert "expected matrices" in refusal(convert, tmp_path / "shapes.npz", tmp_path / "model")


def test_damaged_archives_of_arrays_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, **britz_parameters())
    whole = path.read_bytes()
    (tmp_path / "chars.json").write_text(json.dumps(CHARS))
    for place in range(0, len(whole), 17):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(InputError):
            run(convert, path, tmp_path / f"model-{place}", "--vocab", tmp_path / "chars.json")


def save_textgenrnn(tmp_path: pathlib.Path, weights: dict[str, dict[str, np.ndarray]], vocabulary: dict[str, int]) -> pathlib.Path:
    """Writes the three files of textgenrnn, with the weights as Keras 2 lays them out."""
    path = tmp_path / "colab_weights.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, named in weights.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in named]
            for name, values in named.items():
                group[name] = values.astype(np.float32)
    (tmp_path / "colab_vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "colab_config.json").write_text(json.dumps({"max_length": 6, "rnn_layers": 2, "word_level": False}))
    return path


@pytest.mark.parametrize(("layers", "cudnn"), [(2, False), (1, True), (2, True)])
def test_textgenrnn(server_binary, tmp_path, layers, cudnn):
    vocabulary = {char: token_id for token_id, char in enumerate(("<s>", *CHARS), 1)}
    weights = textgenrnn_weights(len(vocabulary) + 1, layers, cudnn)
    run(convert, save_textgenrnn(tmp_path, weights, vocabulary), tmp_path / "model")
    manifest = json.loads((tmp_path / "model/config.json").read_text())
    assert (manifest["onnx"]["window"], manifest["onnx"]["pad"]) == (6, "<unused-0>")
    assert (manifest["tokenizer"]["kind"], manifest["initial_tokens"]) == ("char", ["<s>"])
    ids = [1, *(token + 2 for token in IDS)]
    usual = textgenrnn_weights(len(vocabulary) + 1, layers, False)
    probs = [textgenrnn_probabilities(usual, np.array(([0] * 6 + ids[: k + 1])[-6:])) for k in range(len(ids))]
    assert_served_alike(server_binary, tmp_path / "model", ids, np.array(probs))


def test_textgenrnn_in_two_directions_and_other_weights_alone_are_refused(tmp_path):
    weights = textgenrnn_weights(11, 1, False)
    weights["rnn_1"] = {f"rnn_1/forward_{name}": values for name, values in weights["rnn_1"].items()}
    path = save_textgenrnn(tmp_path, weights, {"a": 1})
    assert "bidirectional" in refusal(convert, path, tmp_path / "model")
    path = save_textgenrnn(tmp_path, {"dense_1": {"dense_1/kernel:0": np.zeros((2, 2))}}, {"a": 1})
    assert "holds weights alone, of the layers dense_1" in refusal(convert, path, tmp_path / "model")
    path = save_textgenrnn(tmp_path, textgenrnn_weights(11, 1, False), {"a": 1})
    assert "no state to carry on" in refusal(convert, path, tmp_path / "model", "--window", "none", "--vocab", write(tmp_path / "v.json", json.dumps(list("abcdefghijk"))))


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_bytes(text.encode())
    return path


TEXT = "She is at sea,\nshe sees\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], sorted(set(TEXT))),
        (["--rule", "sorted-set", "--lowercase"], sorted(set(TEXT.lower()))),
        # e and s 5 times, the space 4 times, h, a and the line end twice, each tie in the order of the text.
        (["--rule", "by-frequency"], ["e", "s", " ", "h", "a", "\n", "S", "i", "t", ","]),
    ],
)
def test_vocabulary_of_the_text_a_model_was_trained_on(tmp_path, arguments, expected):
    text = write(tmp_path / "input.txt", TEXT.replace("\n", "\r\n"))
    torch.save(RNNModel("LSTM", len(expected), 4, 4, 1).state_dict(), tmp_path / "model.pt")
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab-from-text", text, *arguments)
    assert parse_vocabulary((tmp_path / "model/vocab.txt").read_text()) == expected
    rule = json.loads((tmp_path / "model/config.json").read_text())["tokenizer"]
    assert (rule["kind"], rule.get("lowercase", False)) == ("char", "--lowercase" in arguments)


def test_lowercase_is_for_a_text(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(convert, tmp_path / "model.pt", tmp_path / "model", "--lowercase")
    assert "--vocab-from-text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html lang=en><head>", "an HTML page"),
        (b"", "empty: copy or download it again"),
        (b"\x1f\x8b\x08\x00\x00\x00", "compressed with gzip"),
        (b"model.pt".ljust(257, b"\0") + b"ustar\x00", "a tar archive"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(tmp_path, data, message):
    for name in ("model.pt", "model.h5", "vocab.json"):
        (tmp_path / name).write_bytes(data)
    assert message in refusal(convert, tmp_path / "model.h5", tmp_path / "model")
    torch.save(RNNModel("LSTM", 4, 4, 4, 1).state_dict(), tmp_path / "model.pt")
    assert message in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", tmp_path / "vocab.json")


def test_a_text_that_is_a_pointer_and_arrays_for_a_vocabulary_are_called_what_they_are(tmp_path):
    torch.save(RNNModel("LSTM", 4, 4, 4, 1).state_dict(), tmp_path / "model.pt")
    pointer = write(tmp_path / "input.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n")
    assert "a Git LFS pointer" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab-from-text", pointer)
    page = write(tmp_path / "page.html", "<html>")
    assert "an HTML page" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", page)
    assert "the vocabulary has 6 entries" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab-from-text", page)
    np.savez(tmp_path / "words.npz", words=np.zeros(4))
    np.save(tmp_path / "words.npy", np.zeros(4))
    for name, message in (("words.npz", "an archive of NumPy arrays, .npz"), ("words.npy", "a single NumPy array, .npy")):
        assert message in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", tmp_path / name)


def test_converting_needs_no_pytorch():
    """`requirements-convert.txt` has none."""
    check = "import sys; sys.modules['torch'] = sys.modules['tokenizers'] = sys.modules['tqdm'] = sys.modules['onnxruntime'] = None; import convert"
    done = subprocess.run([sys.executable, "-c", check], cwd=pathlib.Path(convert.__file__).parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
