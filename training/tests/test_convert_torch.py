"""Checkpoints that PyTorch itself wrote, of whole modules or state_dicts, against the modules' own numbers."""

import json
import pathlib

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import awd_lstm
import convert
from conftest import architecture, refusal, run
from rnnlm import reading
from served import assert_served_alike
from torch_sources import IDS, WORDS, DefaultRNNLM, RNNModel, RnnLmModel, probabilities, randomised


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(("rnn_type", "tied"), [("RNN_TANH", False), ("RNN_RELU", False), ("GRU", True), ("LSTM", True), ("LSTM", False)])
def test_whole_module_of_word_language_model(server_binary, words, tmp_path, rnn_type, tied, zipped):
    module = randomised(RNNModel(rnn_type, len(WORDS), 7, 7 if tied else 9, 2, tied), seed=1)
    torch.save(module, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)
    assert architecture(tmp_path / "model")["tie_weights"] == tied
    assert ("decoder.weight" in (tmp_path / "model/model.safetensors").read_bytes()[:2000].decode("latin1")) != tied
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(module, IDS))


@pytest.mark.parametrize(("rnn_type", "cell"), [("RNN_TANH", "rnn_tanh"), ("RNN_RELU", "rnn_relu"), ("GRU", "gru"), ("LSTM", "lstm")])
def test_state_dict_of_word_language_model(server_binary, words, tmp_path, rnn_type, cell):
    module = randomised(RNNModel(rnn_type, len(WORDS), 7, 9, 2), seed=2)
    # As DataParallel names them, and inside what a training script keeps around them.
    torch.save({"epoch": 3, "model": {f"module.{name}": weight for name, weight in module.state_dict().items()}}, tmp_path / "model.pt")
    options = ["--cell", cell] if cell.startswith("rnn") else []
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words, *options)
    assert architecture(tmp_path / "model")["cell"] == cell
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(module, IDS))


@pytest.mark.parametrize("tied", [True, False])
def test_projected_lstm(server_binary, words, tmp_path, tied):
    module = randomised(RNNModel("LSTM", len(WORDS), 4 if tied else 7, 9, 2, tied, proj_size=4), seed=6)
    torch.save(module.state_dict(), tmp_path / "model.pt")
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)
    assert architecture(tmp_path / "model")["proj_size"] == 4
    assert architecture(tmp_path / "model")["hidden_sizes"] == [9, 9]
    expected = probabilities(module, IDS)
    assert_served_alike(server_binary, tmp_path / "model", IDS, expected)
    # What the package reads back is the same network.
    network, _ = reading.read(tmp_path / "model")
    ids = torch.tensor(IDS)[:, None]
    outputs, _ = network(ids, network.zero_state(1))
    found = torch.softmax(network.decoder(outputs)[:, 0], dim=-1)
    assert torch.allclose(found.double(), torch.as_tensor(expected).double().reshape(found.shape), atol=1e-5)


def test_a_projection_on_one_layer_alone_is_refused(words, tmp_path):
    tensors = RNNModel("LSTM", len(WORDS), 7, 9, 2, proj_size=4).state_dict()
    del tensors["rnn.weight_hr_l1"]
    torch.save(tensors, tmp_path / "model.pt")
    assert "expected layers of one kind" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)


def test_state_dict_of_a_plain_rnn_needs_its_activation(words, tmp_path):
    torch.save(RNNModel("RNN_RELU", len(WORDS), 7, 9, 2).state_dict(), tmp_path / "model.pt")
    assert "name it with --cell" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)


@pytest.mark.parametrize("whole", [True, False], ids=["list", "state_dict"])
def test_awd_lstm_with_its_cached_corpus(server_binary, tmp_path, whole):
    module = randomised(awd_lstm.RNNModel(len(WORDS), 6, 10, 3), seed=3)
    expected = probabilities(module, IDS)
    # What a call leaves behind is not the raw weight: in training, a part of it is zero.
    for rnn in module.rnns:
        rnn.module.weight_hh_l0 = nn.Parameter(nn.functional.dropout(rnn.module.weight_hh_l0_raw.data, 0.5))
    saved = [module, awd_lstm.SplitCrossEntropyLoss([]), torch.optim.ASGD(module.parameters())] if whole else module.state_dict()
    torch.save(saved, tmp_path / "WT2.pt")
    torch.save(awd_lstm.Corpus(WORDS), tmp_path / "corpus.data")
    run(convert, tmp_path / "WT2.pt", tmp_path / "model", "--vocab", tmp_path / "corpus.data")
    assert architecture(tmp_path / "model")["hidden_sizes"] == [10, 10, 6]
    assert_served_alike(server_binary, tmp_path / "model", IDS, expected)


def test_awd_lstm_with_a_split_softmax_is_refused(words, tmp_path):
    torch.save([awd_lstm.RNNModel(len(WORDS), 6, 10, 2), awd_lstm.SplitCrossEntropyLoss([3, 7]), None], tmp_path / "WT103.pt")
    assert "softmax split at [3, 7]" in refusal(convert, tmp_path / "WT103.pt", tmp_path / "model", "--vocab", words)


def test_dictionary_of_a_data_folder_is_in_the_order_of_the_text(server_binary, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.txt").write_text(" the sea \n\n a ship the sea\r\n", newline="")
    (data / "valid.txt").write_text("<unk> sails\n")
    (data / "test.txt").write_text("a home")
    words = ["the", "sea", "<eos>", "a", "ship", "<unk>", "sails", "home"]
    module = randomised(RNNModel("LSTM", len(words), 5, 6, 1), seed=4)
    torch.save(module.state_dict(), tmp_path / "model.pt")
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", data)
    assert (tmp_path / "model/vocab.txt").read_text().split("\n") == [*words, ""]
    ids = [2, 0, 1, 5, 3, 7, 2, 4]
    assert_served_alike(server_binary, tmp_path / "model", ids, probabilities(module, ids))


PIECES = ["<blk>", "<sos/eos>", "<unk>", "▁THE", "▁C", "AT", "▁SAT"]


def test_icefall_with_tokens_txt(server_binary, tmp_path):
    module = randomised(RnnLmModel(len(PIECES), 8, 8, 2), seed=5)
    torch.save({"model": module.state_dict(), "exp_dir": pathlib.Path("exp"), "batch_idx_train": 1000}, tmp_path / "epoch-20.pt")
    # In any order: the numbers count.
    lines = [f"{piece} {token_id}" for token_id, piece in enumerate(PIECES)]
    (tmp_path / "tokens.txt").write_text("\n".join(reversed(lines)) + "\n")
    run(convert, tmp_path / "epoch-20.pt", tmp_path / "model", "--vocab", tmp_path / "tokens.txt")
    assert json.loads((tmp_path / "model/config.json").read_text())["initial_tokens"] == ["<sos/eos>"]
    ids = [1, 3, 4, 5, 6, 2, 1, 3]
    assert_served_alike(server_binary, tmp_path / "model", ids, probabilities(module, ids))


UNITS = ["<blank>", "<unk>", "A", "B", "C", "<space>", "<sos/eos>"]


@pytest.mark.parametrize("rnn_type", ["LSTM", "GRU"])
def test_espnet_sequential(server_binary, tmp_path, rnn_type):
    module = randomised(RNNModel(rnn_type, len(UNITS), 8, 8, 2), seed=6)
    torch.save({f"lm.{name}": weight for name, weight in module.state_dict().items()}, tmp_path / "valid.loss.ave.pth")
    (tmp_path / "tokens.txt").write_text("\n".join(UNITS) + "\n")
    run(convert, tmp_path / "valid.loss.ave.pth", tmp_path / "model", "--vocab", tmp_path / "tokens.txt", "--vocabulary", "whitespace")
    ids = [6, 2, 3, 5, 4, 1, 2, 6, 3]
    assert_served_alike(server_binary, tmp_path / "model", ids, probabilities(module, ids))


@pytest.mark.parametrize("typ", ["lstm", "gru"])
def test_espnet1_default(server_binary, tmp_path, typ):
    module = randomised(DefaultRNNLM(len(UNITS), 2, 8, typ), seed=7)
    torch.save(module.state_dict(), tmp_path / "rnnlm.model.best")
    listed = {"char_list_dict": {unit: token_id for token_id, unit in enumerate(UNITS)}, "layer": 2}
    (tmp_path / "model.json").write_text(json.dumps(listed))
    run(convert, tmp_path / "rnnlm.model.best", tmp_path / "model", "--vocab", tmp_path / "model.json", "--vocabulary", "whitespace")
    ids = [6, 2, 3, 5, 4, 1, 2, 6, 3]
    assert_served_alike(server_binary, tmp_path / "model", ids, probabilities(module, ids))


@pytest.mark.parametrize(("dtype", "places"), [("bf16", 8), ("f16", 11)])
def test_weights_are_stored_in_the_type_asked_for(words, tmp_path, dtype, places):
    module = randomised(RNNModel("LSTM", len(WORDS), 7, 9, 2), seed=8)
    torch.save(module.state_dict(), tmp_path / "model.pt")
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words, "--dtype", dtype)
    stored = load_file(tmp_path / "model/model.safetensors")
    for name, weight in module.state_dict().items():
        assert (stored[name].float() - weight).abs().max() <= weight.abs().max() * 2.0**-places, name
