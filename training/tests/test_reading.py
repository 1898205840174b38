"""Folders that the server reads can be read back into PyTorch: evaluate.py prints the server's figures, and a run can start from them."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import evaluate
import export
import train
from conftest import REPOSITORY, TINY, refusal, run
from rnnlm import cells, onnx_graph
from rnnlm.errors import InputError
from server import output

GRAPHS = REPOSITORY / "tests/onnx/files"
LOWERED = [
    *("by_hand/lstm-frozen-tb", "by_hand/gru-identities", "by_hand/gru-gemm-log-bt", "by_hand/gru-lbr0-1-layout0-bt", "by_hand/rnn_sigmoid-state-lost"),
    *("by_hand/lstm-tied-gemm", "by_hand/lstm-f16", "by_hand/lstm-ids-float", "by_hand/lstm-external", "by_hand/rnn_relu-no-bias", "by_hand/lstm-3-sizes"),
    *("pytorch/torchscript-gru-2-bt", "pytorch/torchscript-rnn_relu-1-tb", "pytorch/torchscript-lstm-2-tb"),
    *("gates/lstm-hard-sigmoid", "gates/lstm-hard-sigmoid-default-slope", "gates/lstm-hard-sigmoid-sixth", "gates/gru-hard-sigmoid", "gates/gru-lbr0-hard-sigmoid-sixth"),
]
TOLERANCE = 5e-7  # relative, of perplexities


def measured(model: pathlib.Path, text: pathlib.Path, capsys: pytest.CaptureFixture) -> dict[str, float]:
    capsys.readouterr()
    run(evaluate, model, text)
    return json.loads(capsys.readouterr().out)


def assert_measured_as_served(binary: pathlib.Path, model: pathlib.Path, text: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    """evaluate.py and `rnnlm-server score` on one text."""
    found = measured(model, text, capsys)
    served = json.loads(output(binary, "score", "--json", "--model", model, text))["total"]
    for count in ("scored_count", "unknown_count"):
        assert found[count] == served[count], count
    for figure in ("logprob", "perplexity", "bits_per_char"):
        assert found[figure] == pytest.approx(served[figure], rel=TOLERANCE, abs=0.0), figure


def write_words(path: pathlib.Path, count: int) -> pathlib.Path:
    """A text of the entries t0, t1, ..."""
    path.write_text(" ".join(f"t{k}" for k in np.random.default_rng(3).integers(count, size=60)))
    return path


@pytest.mark.parametrize("graph", LOWERED)
def test_graphs_of_other_programs(server_binary, tmp_path, capsys, graph):
    source = (GRAPHS / graph).with_suffix(".onnx")
    model = tmp_path / "model"
    model.mkdir()
    for path in source.parent.glob(f"{source.stem}.*"):
        shutil.copy(path, model)
    shape, _ = onnx_graph.network_in(source, None)
    (model / "vocab.txt").write_text("".join(f"t{k}\n" for k in range(shape["vocab_size"])))
    tokenizer = {"kind": "whitespace", "file": "vocab.txt"}
    (model / "config.json").write_text(json.dumps({"format_version": 1, "weights": source.name, "tokenizer": tokenizer, "initial_tokens": ["t0"]}))
    assert_measured_as_served(server_binary, model, write_words(tmp_path / "text", shape["vocab_size"]), capsys)


@pytest.mark.parametrize("family", ["windows", "unrecognised"])
def test_graphs_of_other_networks_are_refused_and_point_to_the_server(family):
    graphs = sorted((GRAPHS / family).glob("*.onnx"))
    assert len(graphs) > 10
    for source in graphs:
        with pytest.raises(InputError, match="rnnlm-server score"):
            onnx_graph.network_in(source, None)


def test_a_hard_sigmoid_of_another_slope_is_refused():
    with pytest.raises(InputError, match="attributes that PyTorch has no layer for"):
        onnx_graph.network_in(GRAPHS / "gates/lstm-another-slope.onnx", None)


@pytest.fixture
def exported(corpus, tmp_path) -> pathlib.Path:
    """The model folder of a tiny run, with biases that are not small."""
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--cell", "gru", "--steps", 30)
    run(export, tmp_path / "run/best.pt", tmp_path / "model")
    path = tmp_path / "model/model.safetensors"
    weights = load_file(path)
    generator = torch.Generator().manual_seed(1)
    save_file({name: weight + 0.3 * torch.randn(weight.shape, generator=generator) for name, weight in weights.items()}, path)
    return tmp_path / "model"


def changed(model: pathlib.Path, drop: str, architecture: dict[str, object]) -> pathlib.Path:
    """The folder without the tensors whose names contain `drop`, and with changed keys of its architecture."""
    path = model / "model.safetensors"
    save_file({name: weight for name, weight in load_file(path).items() if not drop or drop not in name}, path)
    manifest = json.loads((model / "config.json").read_text())
    manifest["architecture"] |= architecture
    (model / "config.json").write_text(json.dumps(manifest))
    return model


@pytest.mark.parametrize("drop", ["bias_hh", "bias_ih", "rnn.bias", "bias"])
def test_absent_biases_are_zeros(server_binary, exported, tmp_path, capsys, drop):
    assert_measured_as_served(server_binary, changed(exported, drop, {}), tmp_path / "run/test.txt", capsys)


def test_both_forms_of_a_gru_are_measured_as_they_are_served(server_binary, exported, tmp_path, capsys):
    text = tmp_path / "run/test.txt"
    one = measured(exported, text, capsys)["perplexity"]
    other = changed(exported, "", {"gru_linear_before_reset": False})
    assert_measured_as_served(server_binary, other, text, capsys)
    assert measured(other, text, capsys)["perplexity"] != pytest.approx(one, rel=100 * TOLERANCE)


@pytest.mark.parametrize("format", ["safetensors", "onnx"])
@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("rnn_sigmoid", {}),
        ("gru", {"gru_linear_before_reset": False}),
        ("gru", {"gate_activation": "hard_sigmoid_sixth"}),
        ("gru", {"gate_activation": "hard_sigmoid", "gru_linear_before_reset": False}),
        ("lstm", {"gate_activation": "hard_sigmoid"}),
    ],
    ids=["rnn_sigmoid", "reset before", "hard", "hard reset before", "hard lstm"],
)
def test_cells_that_pytorch_lacks_are_trained_resumed_and_exported(server_binary, corpus, tmp_path, capsys, cell, form, format):
    run(train, "--out", tmp_path / "first", "--train", corpus, *TINY, "--cell", cell, "--steps", 2)
    run(export, tmp_path / "first/last.pt", tmp_path / "model")
    changed(tmp_path / "model", "", form)
    arguments = ["--train", corpus, "--initial", tmp_path / "model", "--batch-size", 4, "--window", 8, "--steps", 20]
    run(train, "--out", tmp_path / "whole", *arguments)
    run(train, "--out", tmp_path / "parts", *arguments, "--stop-after", 7)
    run(train, "--resume", tmp_path / "parts")
    whole, parts = (torch.load(tmp_path / name / "last.pt")["model"] for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    run(export, tmp_path / "whole", tmp_path / "better", "--format", format)
    assert "| started from | the model folder `model` |" in (tmp_path / "better/README.md").read_text()
    assert_measured_as_served(server_binary, tmp_path / "better", tmp_path / "whole/test.txt", capsys)
    text = tmp_path / "whole/test.txt"
    assert measured(tmp_path / "better", text, capsys)["perplexity"] < measured(tmp_path / "model", text, capsys)["perplexity"]


def test_layers_that_are_written_out_equal_pytorchs_where_it_has_them():
    """The step of a GRU whose reset gate is open is the same in both forms."""
    torch.manual_seed(2)
    ours, theirs = cells.ResetBeforeGru(5, 4), torch.nn.GRU(5, 4)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        for layer in (ours, theirs):
            layer.weight_ih_l0[:4], layer.weight_hh_l0[:4], layer.bias_ih_l0[:4] = 0.0, 0.0, 40.0
        inputs, before = torch.randn(7, 3, 5), torch.randn(1, 3, 4)
        for found, expected in zip(ours(inputs, before), theirs(inputs, before)):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("ours", "theirs"), [(cells.ResetAfterGru, torch.nn.GRU), (cells.WrittenLstm, torch.nn.LSTM)])
@torch.no_grad()
def test_layers_with_hard_gates_equal_pytorchs_when_their_gates_are_the_usual_ones(ours, theirs):
    torch.manual_seed(3)
    theirs = theirs(5, 4)
    ours = ours(5, 4)
    ours.load_state_dict(theirs.state_dict())
    hidden = torch.randn(1, 3, 4)
    before = (hidden, torch.randn(1, 3, 4)) if isinstance(theirs, torch.nn.LSTM) else hidden
    inputs = torch.randn(7, 3, 5)
    torch.testing.assert_close(ours(inputs, before), theirs(inputs, before))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate_activation": "hardish"}, "gate activation `hardish` is not supported; supported are sigmoid, hard_sigmoid, hard_sigmoid_sixth"),
        ({"cell": "rnn_tanh", "gate_activation": "hard_sigmoid"}, "a `rnn_tanh` network has no gates"),
    ],
)
def test_gates_that_a_network_cannot_have_are_refused(exported, tmp_path, changes, message):
    assert message in refusal(evaluate, changed(exported, "", changes), tmp_path / "run/test.txt")


def test_a_folder_that_does_not_fit_its_vocabulary_is_refused(exported, tmp_path):
    (exported / "vocab.txt").write_text((exported / "vocab.txt").read_text() + "more\n")
    assert "has a vocabulary of" in refusal(evaluate, exported, tmp_path / "run/test.txt")


def test_a_model_without_initial_tokens_leaves_its_first_token_unscored(server_binary, exported, tmp_path, capsys):
    manifest = json.loads((exported / "config.json").read_text())
    manifest["initial_tokens"] = []
    (exported / "config.json").write_text(json.dumps(manifest))
    assert_measured_as_served(server_binary, exported, tmp_path / "run/test.txt", capsys)
