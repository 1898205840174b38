"""Normalisations and learned initial states of PyTorch and Keras, against the sources' own numbers."""

import os
import pathlib

import numpy as np
import pytest
import torch
from torch import nn

import convert
from conftest import architecture, refusal, run
from rnnlm import reading
from rnnlm.errors import InputError
from served import assert_served_alike
from torch_sources import IDS, WORDS, probabilities, randomised

os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
from keras import layers  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class OverChannels(nn.BatchNorm1d):
    """Over `[steps, batch, channels]`."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return super().forward(values.permute(1, 2, 0)).permute(2, 0, 1)


class RNNModel(nn.Module):
    """word_language_model with a list of normalisations, and with a start; the name is that of a class whose attributes are read."""

    def __init__(self, rnn_type: str, norms: list[nn.Module | None], start: bool, proj_size: int = 0) -> None:
        super().__init__()
        options = {"proj_size": proj_size} if proj_size else {}
        self.encoder = nn.Embedding(len(WORDS), 7)
        self.rnn = getattr(nn, rnn_type)(7, 9, 1, **options)
        self.before, self.ln = norms
        self.decoder = nn.Linear(proj_size or 9, len(WORDS))
        if start:
            self.h0 = nn.Parameter(torch.empty(1, 1, proj_size or 9))
        if start and rnn_type == "LSTM":
            self.c0 = nn.Parameter(torch.empty(1, 1, 9))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        state = None
        if hasattr(self, "h0"):
            state = (self.h0, self.c0) if hasattr(self, "c0") else self.h0
        values = self.encoder(ids)
        outputs, _ = self.rnn(self.before(values) if self.before else values, state)
        return self.decoder(self.ln(outputs) if self.ln else outputs)


def with_statistics(module: nn.Module, seed: int) -> nn.Module:
    """Weights, and statistics of batches, as large as trained ones."""
    randomised(module, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.2, 2.0, generator=generator)
    return module


CASES = {
    "layer, batch": (lambda: [nn.LayerNorm(7), OverChannels(9)], ["layer", "batch"]),
    "batch, layer": (lambda: [OverChannels(7), nn.LayerNorm(9)], ["batch", "layer"]),
    "layer at the end": (lambda: [None, nn.LayerNorm(9)], ["none", "layer"]),
    "batch without weights": (lambda: [None, OverChannels(9, affine=False)], ["none", "batch"]),
}


@pytest.mark.parametrize("start", [True, False], ids=["start", "zeros"])
@pytest.mark.parametrize("rnn_type", ["LSTM", "GRU"])
@pytest.mark.parametrize("case", CASES)
def test_state_dict_with_norms_and_a_start(server_binary, words, tmp_path, case, rnn_type, start):
    norms, kinds = CASES[case]
    module = with_statistics(RNNModel(rnn_type, norms(), start), seed=1)
    torch.save(module.state_dict(), tmp_path / "model.pt")
    named = ",".join("none" if kind == "none" else name for kind, name in zip(kinds, ("before", "ln")))
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words, "--norms", named)
    assert architecture(tmp_path / "model")["norms"] == kinds
    card = (tmp_path / "model/README.md").read_text()
    assert ("start from the state in `h0`" in card) == start
    assert "PyTorch's default, is assumed" in card
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(module, IDS))
    with pytest.raises(InputError, match="neither measured nor trained"):
        reading.read(tmp_path / "model")


def test_a_start_that_is_named_and_a_projection(server_binary, words, tmp_path):
    module = with_statistics(RNNModel("LSTM", [None, None], True, proj_size=4), seed=2)
    tensors = module.state_dict()
    tensors |= {"first.h": tensors.pop("h0")[:, 0], "first.c": tensors.pop("c0")[0, 0]}
    torch.save(tensors, tmp_path / "model.pt")
    assert "unexpected `first.c` (9,)" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words, "--start", "first.h,first.c")
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(module, IDS))


def test_a_whole_module_says_its_classes_and_its_epsilon(server_binary, words, tmp_path):
    module = with_statistics(RNNModel("LSTM", [None, nn.LayerNorm(9, eps=0.3, bias=False)], False), seed=3)
    torch.save(module, tmp_path / "model.pt")
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words, "--norms", "none,ln")
    assert architecture(tmp_path / "model")["norm_epsilon"] == 0.3
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(module, IDS))
    # Its state_dict says neither.
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    message = refusal(convert, tmp_path / "weights.pt", tmp_path / "other", "--vocab", words, "--norms", "none,ln")
    assert "has the tensors weight, which do not tell" in message


def test_names_of_the_server_need_no_option(server_binary, words, tmp_path):
    module = with_statistics(RNNModel("LSTM", [None, nn.LayerNorm(9)], True), seed=4)
    renamed = {"h0": "rnn.h0_l0", "c0": "rnn.c0_l0", "ln.weight": "norm.1.weight", "ln.bias": "norm.1.bias"}
    tensors = {renamed.get(name, name): tensor for name, tensor in module.state_dict().items()}
    tensors |= {name: tensors[name].flatten() for name in ("rnn.h0_l0", "rnn.c0_l0")}
    torch.save(tensors, tmp_path / "model.pt")
    run(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words, "--norm-epsilon", "0.00001")
    assert architecture(tmp_path / "model")["norms"] == ["none", "layer"]
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(module, IDS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "unexpected `ln.bias`"),
        (["--norms", "ln"], "has 1 entries; expected 2"),
        (["--norms", "none,last"], "no tensor `last.*` is left"),
        (["--norms", "none,decoder"], "no tensor `decoder.*` is left"),
        (["--norms", "none,ln", "--start", "h0"], "no such tensor"),
        (["--norms", "none,ln", "--start", "a,b,c"], "has 2: h0, c0"),
        (["--norms", "none,ln", "--norm-epsilon", "2"], "expected a number above 0 and at most 1"),
        (["--norms", "none,ln", "--window", "5"], "has normalisations and reads a window of 5 tokens"),
        (["--norms", "ln,none"], "what becomes the tensor `norm.0.weight` has the shape (9,); expected (7,)"),
    ],
)
def test_what_the_options_cannot_mean_is_refused(words, tmp_path, options, message):
    module = with_statistics(RNNModel("LSTM", [None, nn.LayerNorm(9)], False), seed=5)
    torch.save(module.state_dict(), tmp_path / "model.pt")
    assert message in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words, *options)
    assert not (tmp_path / "model").exists()


def test_other_normalisations_and_starts_of_a_batch_are_refused(words, tmp_path):
    options = ["--vocab", words, "--norms", "none,ln"]
    torch.save(RNNModel("LSTM", [None, nn.GroupNorm(3, 9)], False), tmp_path / "group.pt")
    assert "of the class GroupNorm" in refusal(convert, tmp_path / "group.pt", tmp_path / "model", *options)
    torch.save(RNNModel("LSTM", [None, nn.BatchNorm1d(9, track_running_stats=False)], False), tmp_path / "batch.pt")
    assert "running_mean and running_var" in refusal(convert, tmp_path / "batch.pt", tmp_path / "model", *options)
    tensors = RNNModel("GRU", [None, None], True).state_dict()
    torch.save(tensors | {"h0": torch.zeros(1, 2, 9)}, tmp_path / "start.pt")
    assert "`h0` has the shape (1, 2, 9)" in refusal(convert, tmp_path / "start.pt", tmp_path / "model", "--vocab", words)


V = 7
KERAS_IDS = [1, 2, 5, 6, 3, 4, 0, 1]

CHAINS = {
    "layer": lambda: [layers.LSTM(6, return_sequences=True), layers.LayerNormalization()],
    "batch": lambda: [layers.GRU(6, return_sequences=True), layers.Dropout(0.5), layers.BatchNormalization()],
    "everywhere": lambda: [
        layers.LayerNormalization(),
        layers.LSTM(6, return_sequences=True),
        layers.BatchNormalization(epsilon=0.02, scale=False),
        layers.LSTM(4, return_sequences=True),
        layers.LayerNormalization(center=False),
    ],
}


def keras_model(chain: list[object], tmp_path: pathlib.Path, suffix: str) -> tuple[keras.Model, pathlib.Path]:
    """A model with weights and variances as large as trained ones, saved beside its words."""
    model = keras.Sequential([layers.Input((None,)), layers.Embedding(V, 5), *chain, layers.Dense(V, activation="softmax")])
    numbers = np.random.default_rng(1)
    is_variance = ["moving_variance" in weight.path for weight in model.weights]
    drawn = (numbers.normal(0, 0.8, weight.shape) for weight in model.get_weights())
    model.set_weights([np.abs(weight) + 0.1 if positive else weight for weight, positive in zip(drawn, is_variance)])
    model.save(tmp_path / f"model{suffix}")
    (tmp_path / "words.txt").write_text("\n".join("abcdefg") + "\n")
    return model, tmp_path / f"model{suffix}"


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", CHAINS)
def test_keras_layers_that_normalise(server_binary, tmp_path, name, suffix):
    model, path = keras_model(CHAINS[name](), tmp_path, suffix)
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt", "--vocabulary", "whitespace")
    assert architecture(tmp_path / "model")["norm_epsilon"] == 0.001
    probs = keras.ops.convert_to_numpy(model(np.array([KERAS_IDS])))[0]
    assert_served_alike(server_binary, tmp_path / "model", KERAS_IDS, probs)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (lambda: [layers.LSTM(6, return_sequences=True), layers.LayerNormalization(rms_scaling=True)], "`rms_scaling`"),
        (lambda: [layers.LSTM(6, return_sequences=True), layers.BatchNormalization(axis=1)], "`axis` of the BatchNormalization layer"),
        (lambda: [layers.LSTM(6, return_sequences=True), *(layers.LayerNormalization() for _ in "ab")], "at most one of them before a layer"),
        (lambda: [layers.LayerNormalization(), layers.LSTM(6, return_sequences=True), layers.LayerNormalization(epsilon=0.1)], "expected one epsilon for all"),
        (lambda: [layers.LSTM(6, return_sequences=True), layers.UnitNormalization()], "UnitNormalization"),
    ],
)
def test_keras_layers_that_normalise_otherwise_are_refused(tmp_path, chain, message):
    # Of a fixed length, over which a batch normalisation can be.
    path = saved_over_windows(chain(), tmp_path)
    assert message in refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt", "--window", "none")


def test_a_window_beside_a_normalisation_is_refused(tmp_path):
    path = saved_over_windows([layers.LSTM(6), layers.LayerNormalization()], tmp_path)
    message = refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")
    assert "has normalisations and reads a window of 8 tokens" in message


def saved_over_windows(chain: list[object], tmp_path: pathlib.Path) -> pathlib.Path:
    """A new model that reads eight tokens, saved beside its words."""
    keras.Sequential([layers.Input((8,)), layers.Embedding(V, 5), *chain, layers.Dense(V, activation="softmax")]).save(tmp_path / "model.keras")
    (tmp_path / "words.txt").write_text("\n".join("abcdefg") + "\n")
    return tmp_path / "model.keras"


def test_options_of_pytorch_are_refused_for_keras(tmp_path):
    _, path = keras_model(CHAINS["layer"](), tmp_path, ".keras")
    assert "describes a checkpoint of PyTorch" in refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt", "--norms", "none,ln")
