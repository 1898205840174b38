"""Exported graphs in ONNX Runtime against PyTorch: any number of steps, any batch, in one piece or in parts."""

import json

import numpy
import onnx
import onnxruntime
import pytest
import torch

import evaluate
import export
import train
from conftest import TINY, refusal, run
from rnnlm import reading
from rnnlm.architecture import Architecture
from rnnlm.model import RnnLm, stored_weights
from rnnlm.onnx_recurrent import state_pairs
from rnnlm.weights_file import Storage, Weights

LAYERS = {"one": (6,), "alike": (6, 6, 6), "unlike": (5, 7, 6)}
VOCAB_SIZE = 9


def network(cell: str, hidden_sizes: tuple[int, ...], tie_weights: bool) -> RnnLm:
    """A small network with large random weights and biases."""
    torch.manual_seed(6)
    model = RnnLm(Architecture(cell, VOCAB_SIZE, 6, hidden_sizes, tie_weights))
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, -0.8, 0.8)
    return model.eval()


def graph_of(model: RnnLm) -> bytes:
    """The file of a network."""
    return Weights(model.architecture, {name: weight.numpy() for name, weight in stored_weights(model).items()}).file(Storage("onnx", "f32")).data


def flat(model: RnnLm, state: list) -> dict[str, numpy.ndarray]:
    """A state as the graph's inputs."""
    by_part = list(zip(*state)) if model.architecture.cell == "lstm" else [state]
    names = list(state_pairs(model.architecture))
    tensors = [torch.cat(part) for part in by_part] if len(names) == len(by_part) else [layer for part in by_part for layer in part]
    return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("tie_weights", [False, True], ids=["own", "tied"])
@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
@torch.no_grad()
def test_graph_computes_what_the_network_does(cell, tie_weights, layers):
    model = network(cell, LAYERS[layers], tie_weights)
    session = onnxruntime.InferenceSession(graph_of(model))
    pairs = state_pairs(model.architecture)
    for steps, batch in [(1, 1), (5, 3), (1, 4), (7, 1)]:
        state = [torch.randn(1, batch, size) for size in LAYERS[layers]]
        state = [(hidden, torch.randn_like(hidden)) for hidden in state] if cell == "lstm" else state
        for _ in range(2):  # the second time from where the first one led
            ids = torch.randint(VOCAB_SIZE, (steps, batch))
            outputs, after = model(ids, state)
            found = session.run(["logits", *pairs.values()], {"tokens": ids.numpy(), **flat(model, state)})
            for ours, expected in zip(found, [model.decoder(outputs).numpy(), *flat(model, after).values()], strict=True):
                numpy.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
            state = after


def test_names_and_weights_are_as_documented():
    file = graph_of(network("lstm", (6, 6), tie_weights=True))
    assert file == graph_of(network("lstm", (6, 6), tie_weights=True)), "the same network, the same bytes"
    model = onnx.load_from_string(file)
    assert [opset.version for opset in model.opset_import] == [17]
    described = {value.name: [place.dim_param or place.dim_value for place in value.type.tensor_type.shape.dim] for value in (*model.graph.input, *model.graph.output)}
    state = [2, "batch", 6]
    assert described == {"tokens": ["steps", "batch"], "h0": state, "c0": state, "logits": ["steps", "batch", VOCAB_SIZE], "hn": state, "cn": state}
    tables = [tensor.name for tensor in model.graph.initializer if VOCAB_SIZE in tensor.dims and len(tensor.dims) == 2]
    assert tables == ["encoder.weight"], "a tied table is stored once"
    unlike = network("gru", (5, 6), tie_weights=False)
    assert state_pairs(unlike.architecture) == {"h0_l0": "hn_l0", "h0_l1": "hn_l1"}


@pytest.mark.parametrize("dtype", ["f32", "f16"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_exported_folder_is_measured_and_read_back(corpus, tmp_path, capsys, cell, dtype):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--cell", cell, "--hidden-sizes", 6, 8, "--tie-weights", "--steps", 20)
    arguments = [tmp_path / "run/best.pt", tmp_path / "model", "--test", tmp_path / "run/test.txt"]
    assert "as f32 or f16, which every runtime reads; found bf16" in refusal(export, *arguments, "--format", "onnx", "--dtype", "bf16")
    assert not (tmp_path / "model").exists()
    run(export, *arguments, "--format", "onnx", "--dtype", dtype)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.onnx", "vocab.txt", "README.md"}
    manifest = json.loads((tmp_path / "model/config.json").read_text(encoding="utf-8"))
    pairs = {"h0_l0": "hn_l0", "h0_l1": "hn_l1"} | ({"c0_l0": "cn_l0", "c0_l1": "cn_l1"} if cell == "lstm" else {})
    assert (manifest["weights"], manifest["onnx"]) == ("model.onnx", {"tokens": "tokens", "logits": "logits", "state": pairs})
    capsys.readouterr()
    run(evaluate, tmp_path / "model", tmp_path / "run/test.txt")
    result = json.loads(capsys.readouterr().out)
    assert f"| {result['perplexity']:.4f} |" in (tmp_path / "model/README.md").read_text(encoding="utf-8")


def test_weights_survive_the_order_of_gates(tmp_path, corpus):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--steps", 2)
    for format in ("safetensors", "onnx"):
        run(export, tmp_path / "run/last.pt", tmp_path / format, "--test", corpus, "--format", format)
    one, other = (reading.read(tmp_path / format)[0].state_dict() for format in ("safetensors", "onnx"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
