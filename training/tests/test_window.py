"""Networks that read a window: what they compute, and that the exported graph computes the same."""

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
from rnnlm.network import build
from test_commands import same

SHAPE = {"vocab_size": 9, "embedding_size": 4, "hidden_sizes": [4], "tie_weights": True, "context": 3, "pad": 1}


@pytest.mark.parametrize("cell", ["cbow", "ffn"])
def test_outputs_are_those_of_the_definition_in_one_piece_or_in_parts(cell):
    torch.manual_seed(5)
    model = build({"cell": cell, **SHAPE}).eval()
    ids = torch.randint(9, (7, 2))
    outputs, state = model(ids, model.zero_state(2))
    first, middle = model(ids[:1], model.zero_state(2))
    rest, end = model(ids[1:], middle)
    assert torch.equal(torch.cat([first, rest]), outputs) and torch.equal(end[0], state[0])
    padded = torch.cat([torch.full((2, 2), 1), ids])
    for step in range(7):
        vectors = model.encoder(padded[step : step + 3, 0])
        expected = model.hidden(vectors.mean(0)) if cell == "cbow" else model.hidden(vectors.flatten()).tanh()
        torch.testing.assert_close(outputs[step, 0], expected)


def test_padding_is_learnt_from_every_window():
    model = build({"cell": "ffn", **SHAPE}).train()
    ids = torch.randint(9, (4, 2))
    afresh, _ = model(ids, model.zero_state(2))
    carried, _ = model(ids, [torch.full((2, 2), 7)])
    assert torch.equal(afresh, carried)


@pytest.mark.parametrize("dtype", ["f32", "f16"])
@pytest.mark.parametrize("arguments", [["--cell", "cbow", "--tie-weights"], ["--cell", "ffn", "--context", 3, "--hidden-sizes", 6]])
def test_exported_graph_computes_what_the_network_does(corpus, tmp_path, capsys, arguments, dtype):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, *arguments, "--steps", 30)
    run(export, tmp_path / "run/best.pt", tmp_path / "model", "--test", tmp_path / "run/test.txt", "--dtype", dtype)
    capsys.readouterr()
    run(evaluate, tmp_path / "model", tmp_path / "run/test.txt", "--contexts", "1,9")
    result = json.loads(capsys.readouterr().out)
    assert f"| {result['perplexity']:.4f} |" in (tmp_path / "model/README.md").read_text()
    assert 1.0 < result["perplexity"] < 15.0

    manifest = json.loads((tmp_path / "model/config.json").read_text())
    window = 3 if "--context" in arguments else 5
    assert manifest["onnx"] == {"tokens": "tokens", "logits": "logits", "window": window, "pad": "<eos>"}
    assert "architecture" not in manifest
    model, tokenizer = reading.read(tmp_path / "model")
    ids = torch.randint(len(tokenizer.vocabulary), (50, window))
    with torch.no_grad():
        outputs, _ = model(ids.t(), model.zero_state(50))
        expected = model.decoder(outputs[-1]).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "model/model.onnx")
    (found,) = session.run(["logits"], {"tokens": ids.numpy()})
    numpy.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_tied_table_is_in_the_file_once(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--cell", "cbow", "--tie-weights", "--steps", 2)
    run(export, tmp_path / "run/last.pt", tmp_path / "model", "--test", corpus, "--dtype", "f16")
    graph = onnx.load(tmp_path / "model/model.onnx").graph
    assert {tensor.name for tensor in graph.initializer} == {"encoder.weight", "hidden.weight", "hidden.bias", "decoder.bias"}
    assert {tensor.data_type for tensor in graph.initializer} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("cell", ["cbow", "ffn"])
def test_resumed_run_equals_uninterrupted_run_bit_for_bit(corpus, tmp_path, cell):
    arguments = ["--train", corpus, "--cell", cell, *TINY, "--head", 4, "--samples", 3, "--sampled-until", 0.6, "--steps", 12]
    run(train, "--out", tmp_path / "whole", *arguments)
    run(train, "--out", tmp_path / "parts", *arguments, "--stop-after", 5)
    run(train, "--resume", tmp_path / "parts")
    whole, parts = torch.load(tmp_path / "whole/last.pt"), torch.load(tmp_path / "parts/last.pt")
    for part in ("model", "optimizer", "state", "generator", "torch_rng"):
        assert same(whole[part], parts[part]), part


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hidden-sizes", "8", "8"], "a `cbow` network has one hidden layer: found sizes (8, 8)"),
        (["--recurrent-dropout", "0.1"], "which a `cbow` network lacks"),
        (["--tie-weights", "--hidden-sizes", "9"], "tied weights"),
        (["--tokenizer", "rule.json"], "a `cbow` network needs `initial_tokens`"),
    ],
)
def test_bad_arguments_are_refused(corpus, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rule.json").write_text('{"kind": "char"}')
    assert message in refusal(train, "--out", "run", "--train", corpus, *TINY, "--cell", "cbow", "--steps", 1, *arguments)
    assert not (tmp_path / "run").exists()


def test_a_context_of_a_network_with_memory_is_a_usage_error(corpus, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--context", 3, "--steps", 1)
    assert caught.value.code == 2 and "--context is for the cells cbow and ffn; found lstm" in capsys.readouterr().err


def test_bf16_graphs_and_foreign_graphs_are_refused(corpus, tmp_path):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, "--cell", "ffn", "--steps", 2)
    arguments = [tmp_path / "run/last.pt", tmp_path / "model", "--test", corpus]
    assert "as f32 or f16, which every runtime reads; found bf16" in refusal(export, *arguments, "--dtype", "bf16")
    assert "is served as a graph" in refusal(export, *arguments, "--format", "safetensors")
    assert not (tmp_path / "model").exists()
    run(export, *arguments)
    path = tmp_path / "model/model.onnx"
    file = onnx.load(path)
    file.graph.name = "main_graph"
    onnx.save(file, path)
    assert "and no RNN, GRU or LSTM" in refusal(evaluate, tmp_path / "model", corpus)
    path.write_bytes(b"not a graph")
    assert "cannot be read as ONNX" in refusal(evaluate, tmp_path / "model", corpus)
