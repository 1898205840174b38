"""char-rnn: checkpoints that TensorFlow wrote (`data/char_rnn.py`), and the same weights in ml5.js's form."""

import contextlib
import json
import pathlib
import pickle

import numpy
import pytest

import convert
from conftest import refusal, run
from rnnlm.convert import char_rnn, tensor_bundle
from rnnlm.errors import InputError
from served import assert_served_alike

DATA = pathlib.Path(__file__).with_name("data")
CHARS = " etaon\nh\\"


def checkpoint(tmp_path: pathlib.Path, cell: str) -> tuple[pathlib.Path, list[int], list[list[float]]]:
    """A copy of a stored checkpoint with its vocabulary beside it, and what TensorFlow's cells gave."""
    folder = tmp_path / "save"
    folder.mkdir()
    for path in (DATA / f"char-rnn-{cell}").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "chars_vocab.pkl").write_bytes(pickle.dumps((tuple(CHARS), {char: k for k, char in enumerate(CHARS)}), protocol=2))
    expected = json.loads((folder / "probs.json").read_text())
    return folder, expected["ids"], expected["probs"]


def as_ml5(checkpoint: pathlib.Path, folder: pathlib.Path) -> dict[str, dict[str, object]]:
    """Writes the weights as the training script of ml5.js dumps them. Returns the manifest."""
    folder.mkdir()
    manifest = {}
    for name, tensor in tensor_bundle.read(tensor_bundle.find(checkpoint)).items():
        if "Adam" not in name and "power" not in name:
            manifest[name] = {"filename": name.replace("/", "_"), "shape": list(tensor.shape)}
            (folder / name.replace("/", "_")).write_bytes(tensor.astype("<f4").tobytes())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "vocab.json").write_text(json.dumps({char: k for k, char in enumerate(CHARS)}))
    return manifest


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_checkpoint_of_tensorflow(server_binary, tmp_path, cell):
    folder, ids, probs = checkpoint(tmp_path, cell)
    run(convert, folder, tmp_path / "model")
    assert_served_alike(server_binary, tmp_path / "model", ids, probs)


@pytest.mark.parametrize("place", ["", "model.ckpt-7"], ids=["folder", "file"])
def test_checkpoint_in_the_first_format_of_tensorflow(server_binary, tmp_path, place):
    """`data/char-rnn-v1` holds the variables of `data/char-rnn-lstm`."""
    folder, ids, probs = checkpoint(tmp_path, "lstm")
    for path in [*folder.glob("model.ckpt*"), folder / "checkpoint"]:
        path.unlink()
    for path in (DATA / "char-rnn-v1").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    run(convert, folder / place, tmp_path / "model")
    assert_served_alike(server_binary, tmp_path / "model", ids, probs)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_variables_before_tensorflow_1_0_had_other_names(cell):
    named = tensor_bundle.read(tensor_bundle.find(DATA / f"char-rnn-{cell}"))
    classes = {"basic_lstm_cell": "BasicLSTMCell", "gru_cell": "GRUCell", "basic_rnn_cell": "BasicRNNCell"}
    older = {}
    for name, tensor in named.items():
        for old, new in [("multi_rnn_cell/cell_", "MultiRNNCell/Cell"), *classes.items(), ("gates", "Gates"), ("candidate", "Candidate")]:
            name = name.replace(old, new)
        older[name.replace("kernel", "Linear/Matrix").replace("bias", "Linear/Bias")] = tensor
    expected, found = (char_rnn.network(variables).tensors(numpy.dtype("f4")) for variables in (named, older))
    assert older.keys() != named.keys()
    assert expected.keys() == found.keys() and all(numpy.array_equal(expected[name], found[name]) for name in expected)


def test_damaged_checkpoints_in_the_first_format_are_refused(tmp_path):
    whole = (DATA / "char-rnn-v1/model.ckpt-7").read_bytes()
    path = tmp_path / "model.ckpt-7"
    (tmp_path / "chars_vocab.pkl").write_bytes(pickle.dumps((tuple(CHARS), {char: k for k, char in enumerate(CHARS)}), protocol=2))
    for place in range(0, len(whole) - 8, 131):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(InputError):
            run(convert, path, tmp_path / f"model-{place}")
    path.write_bytes(whole[200:])
    assert refusal(convert, path, tmp_path / "model")


@pytest.mark.parametrize("name", ["model.ckpt-7", "model.ckpt-7.index"])
def test_checkpoint_is_named_by_its_prefix_or_its_index(tmp_path, name):
    folder, _, _ = checkpoint(tmp_path, "rnn")
    run(convert, folder / name, tmp_path / "model", "--from", "char-rnn-tensorflow")
    assert (tmp_path / "model/vocab.txt").read_text() == " \ne\nt\na\no\nn\n\\n\nh\n\\\\\n"


def test_model_of_ml5(server_binary, tmp_path):
    folder, ids, probs = checkpoint(tmp_path, "lstm")
    as_ml5(folder, tmp_path / "ml5")
    run(convert, tmp_path / "ml5", tmp_path / "model")
    assert_served_alike(server_binary, tmp_path / "model", ids, probs)


def test_model_of_ml5_without_an_embedding_reads_one_hot_vectors(server_binary, tmp_path):
    """The equations of tfjs' `basicLSTMCell` and `multiRNNCell`, with a forget bias of 1, on one-hot vectors."""
    numbers = numpy.random.default_rng(3)
    vocab, hidden = len(CHARS), 6
    kernels = [numbers.normal(0, 0.8, (vocab + hidden, 4 * hidden)), numbers.normal(0, 0.8, (2 * hidden, 4 * hidden))]
    biases = [numbers.normal(0, 0.8, 4 * hidden) for _ in kernels]
    weight, bias = numbers.normal(0, 0.8, (hidden, vocab)), numbers.normal(0, 0.8, vocab)
    tensors = {f"rnn/multi_rnn_cell/cell_{k}/basic_lstm_cell/{name}": value for k in (0, 1) for name, value in (("weights", kernels[k]), ("biases", biases[k]))}
    tensors = {name.removeprefix("rnn/"): value for name, value in tensors.items()} | {"softmax_w": weight, "softmax_b": bias}
    folder = tmp_path / "ml5"
    folder.mkdir()
    for name, value in tensors.items():
        (folder / name.replace("/", "_")).write_bytes(value.astype("<f4").tobytes())
    (folder / "manifest.json").write_text(json.dumps({name: {"filename": name.replace("/", "_"), "shape": value.shape} for name, value in tensors.items()}))
    (folder / "vocab.json").write_text(json.dumps({char: k for k, char in enumerate(CHARS)}))

    def sigmoid(x):
        return 1 / (1 + numpy.exp(-x))

    ids = [3, 1, 4, 1, 5, 8, 2, 6]
    h, c = numpy.zeros((2, hidden)), numpy.zeros((2, hidden))
    probs = []
    for token in ids:
        x = numpy.eye(vocab)[token]
        for k in (0, 1):
            i, j, f, o = numpy.split(numpy.concatenate([x, h[k]]) @ kernels[k] + biases[k], 4)
            c[k] = sigmoid(i) * numpy.tanh(j) + c[k] * sigmoid(f + 1.0)
            h[k] = x = numpy.tanh(c[k]) * sigmoid(o)
        scores = numpy.exp(x @ weight + bias)
        probs.append(scores / scores.sum())
    run(convert, folder, tmp_path / "model")
    assert_served_alike(server_binary, tmp_path / "model", ids, numpy.array(probs))


def test_checkpoint_with_variables_of_another_network_is_refused(tmp_path):
    folder, _, _ = checkpoint(tmp_path, "lstm")
    manifest = as_ml5(folder, tmp_path / "ml5")
    manifest["conv/kernel"] = manifest["rnnlm/softmax_b"]
    (tmp_path / "ml5/manifest.json").write_text(json.dumps(manifest))
    assert "unexpected `conv/kernel`" in refusal(convert, tmp_path / "ml5", tmp_path / "model")


@pytest.mark.parametrize("filename", ["../secret", "/etc/passwd"])
def test_manifest_of_ml5_names_files_of_its_folder_only(tmp_path, filename):
    (tmp_path / "manifest.json").write_text(json.dumps({"embedding": {"filename": filename, "shape": [1]}}))
    assert "expected the name of a file in the folder" in refusal(convert, tmp_path, tmp_path / "model")


def test_damaged_checkpoints_are_refused(tmp_path):
    folder, _, _ = checkpoint(tmp_path, "rnn")
    index, data = folder / "model.ckpt-7.index", folder / "model.ckpt-7.data-00000-of-00001"
    whole = index.read_bytes()
    data.write_bytes(data.read_bytes()[:-400])
    assert "cannot be read as a checkpoint of TensorFlow" in refusal(convert, folder, tmp_path / "model")
    for length in range(0, len(whole), 29):
        index.write_bytes(whole[:length])
        assert "the last bytes are not those of a table" in refusal(convert, folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    for place in range(0, len(whole) - 8, 7):
        index.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        # Checksums are not read, so that some of these pass; none may end in anything but a refusal.
        with contextlib.suppress(InputError):
            run(convert, folder, tmp_path / f"model-{place}")


def test_missing_vocabulary_is_refused(tmp_path):
    folder, _, _ = checkpoint(tmp_path, "rnn")
    (folder / "chars_vocab.pkl").unlink()
    assert "name it with --vocab" in refusal(convert, folder, tmp_path / "model")


def test_tensors_of_a_table_with_many_blocks(tmp_path):
    """Keys of one block share their beginnings; a block per entry, as large tables have, has none to share."""

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
        body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
        return body + b"\0\0\0\0\1\0\0\0"

    entries = [(b"", b"\x08\x01")]
    for k in range(200):
        entries.append((b"w%03d" % k, b"\x08\x01\x12\x04\x12\x02\x08\x01" + b"\x20" + varint(4 * k) + b"\x28\x04"))
    file, handles = b"", []
    for key, value in entries:
        part = block([(key, value)])
        handles.append((key, varint(len(file)) + varint(len(part))))
        file += part + b"\0\0\0\0\0"
    top = block(handles)
    footer = (b"\0\0" + varint(len(file)) + varint(len(top))).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
    (tmp_path / "x.index").write_bytes(file + top + b"\0\0\0\0\0" + footer)
    (tmp_path / "x.data-00000-of-00001").write_bytes(numpy.arange(200, dtype="<f4").tobytes())
    tensors = tensor_bundle.read(tmp_path / "x.index")
    assert numpy.array_equal(numpy.concatenate(list(tensors.values())), numpy.arange(200.0))
