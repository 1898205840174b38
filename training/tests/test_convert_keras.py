"""Models that Keras built and saved, against Keras's own numbers."""

import collections
import json
import os
import pathlib
import pickle

import numpy as np
import pytest

import convert
from conftest import refusal, run
from keras_2 import as_cudnn, as_keras_2
from served import assert_served_alike
from server import output

os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
from keras import layers  # noqa: E402

WORDS = ["<pad>", "the", "sea", "a", "ship", "sails", "home"]
IDS = [1, 2, 5, 6, 3, 4, 0, 1]
V = len(WORDS)

pytestmark = pytest.mark.filterwarnings("ignore")

RECURRENT = {
    "simple rnn": lambda: [layers.SimpleRNN(6, return_sequences=True)],
    "simple rnn relu": lambda: [layers.SimpleRNN(6, activation="relu", return_sequences=True)],
    "simple rnn sigmoid": lambda: [layers.SimpleRNN(6, activation="sigmoid", return_sequences=True)],
    "gru": lambda: [layers.GRU(6, return_sequences=True)],
    "gru reset before": lambda: [layers.GRU(6, reset_after=False, return_sequences=True)],
    "lstm": lambda: [layers.LSTM(6, return_sequences=True)],
    "lstm without bias": lambda: [layers.LSTM(6, use_bias=False, return_sequences=True)],
    "two lstm": lambda: [layers.LSTM(6, return_sequences=True), layers.Dropout(0.5), layers.LSTM(4, return_sequences=True)],
    "two gru": lambda: [layers.GRU(6, return_sequences=True), layers.GRU(4, return_sequences=True)],
}


def randomised(model: keras.Model, seed: int) -> keras.Model:
    """Weights as large as trained ones."""
    numbers = np.random.default_rng(seed)
    model.set_weights([numbers.normal(0, 0.8, weight.shape) for weight in model.get_weights()])
    return model


def save(model: keras.Model, path: pathlib.Path) -> pathlib.Path:
    """Saves the model in the form that the path's suffix names, with its words beside it."""
    model.save(path)
    (path.parent / "words.txt").write_text("\n".join(WORDS) + "\n")
    return path


def probabilities(model: keras.Model, ids: list[int]) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(np.array([ids])))[0]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", RECURRENT)
def test_sequential(server_binary, tmp_path, name, suffix):
    dense = layers.TimeDistributed(layers.Dense(V, activation="softmax"))
    model = randomised(keras.Sequential([layers.Input((None,)), layers.Embedding(V, 5, name="word_vectors"), *RECURRENT[name](), dense]), seed=1)
    path = save(model, tmp_path / f"model{suffix}")
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(model, IDS))


def keras_2_hard_sigmoid(x):
    """Of Keras before version 3."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


GATED = {
    "lstm": lambda gate: [layers.LSTM(6, recurrent_activation=gate, return_sequences=True)],
    "gru": lambda gate: [layers.GRU(6, recurrent_activation=gate, reset_after=True, return_sequences=True)],
    "gru reset before": lambda gate: [layers.GRU(6, recurrent_activation=gate, reset_after=False, return_sequences=True)],
    "two lstm": lambda gate: [layers.LSTM(size, recurrent_activation=gate, return_sequences=True) for size in (6, 4)],
}


@pytest.mark.parametrize("version", ["1.2.2", "2.2.4", "2.11.0-tf", "3"])
@pytest.mark.parametrize("name", GATED)
def test_hard_sigmoids_of_each_version(server_binary, tmp_path, name, version):
    """Keras 3 has another function under the same name: the version decides, and the other one would give other probabilities."""
    model, other = (randomised(chain(*GATED[name](gate)), seed=6) for gate in ("hard_sigmoid", keras_2_hard_sigmoid))
    path = save(model, tmp_path / "model.h5")
    expected = "hard_sigmoid_sixth"
    if version != "3":
        as_keras_2(path, {}, version)
        model, other, expected = other, model, "hard_sigmoid"
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")
    assert json.loads((tmp_path / "model/config.json").read_text())["architecture"]["gate_activation"] == expected
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(model, IDS))
    assert abs(probabilities(model, IDS) - probabilities(other, IDS)).max() > 0.001


def test_hard_sigmoids_of_an_archive_and_of_a_later_keras(server_binary, tmp_path):
    model = randomised(chain(*GATED["lstm"]("hard_sigmoid")), seed=6)
    run(convert, save(model, tmp_path / "model.keras"), tmp_path / "model", "--vocab", tmp_path / "words.txt")
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(model, IDS))
    path = save(model, tmp_path / "later.h5")
    as_keras_2(path, {}, "4.0.0")
    assert "saved by Keras 4" in refusal(convert, path, tmp_path / "later", "--vocab", tmp_path / "words.txt")


@pytest.mark.parametrize("name", ["lstm", "gru", "two lstm", "two gru"])
def test_layers_of_keras_2_for_a_gpu(server_binary, tmp_path, name):
    model = randomised(chain(*RECURRENT[name]()), seed=7)
    path = save(model, tmp_path / "model.h5")
    as_cudnn(path)
    run(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(model, IDS))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_functional_with_a_softmax_of_its_own(server_binary, tmp_path, suffix):
    words = keras.Input((None,))
    hidden = layers.LSTM(6, return_sequences=True)(layers.Embedding(V, 5)(words))
    model = randomised(keras.Model(words, layers.Softmax()(layers.Dense(V, use_bias=False)(hidden))), seed=2)
    run(convert, save(model, tmp_path / f"model{suffix}"), tmp_path / "model", "--vocab", tmp_path / "words.txt")
    assert_served_alike(server_binary, tmp_path / "model", IDS, probabilities(model, IDS))


def test_characters_as_one_hot_vectors_with_the_state_carried_on(server_binary, tmp_path):
    model = randomised(keras.Sequential([layers.Input((None, V)), layers.LSTM(6), layers.Dense(V, activation="softmax")]), seed=3)
    (tmp_path / "chars.json").write_text(json.dumps({char: k for k, char in enumerate(" etaon\n")}))
    run(convert, save(model, tmp_path / "model.keras"), tmp_path / "model", "--vocab", tmp_path / "chars.json", "--window", "none")
    assert json.loads((tmp_path / "model/config.json").read_text())["tokenizer"]["kind"] == "char"
    assert "carries the state from token to token, as --window none asked" in (tmp_path / "model/README.md").read_text()
    windows = [np.eye(V)[None, IDS[: k + 1]] for k in range(len(IDS))]
    probs = [keras.ops.convert_to_numpy(model(window))[0] for window in windows]
    assert_served_alike(server_binary, tmp_path / "model", IDS, np.array(probs))


class Tokenizer:
    """The class of Keras 2, for its pickle."""

    def __init__(self, config: dict[str, object]) -> None:
        self.__dict__ |= config
        self.word_docs = collections.defaultdict(int, the=3)


@pytest.mark.parametrize("form", ["json", "json in json", "word_index", "pickle"])
def test_words_of_a_keras_tokenizer(server_binary, tmp_path, form):
    """What Keras 2 writes: ids from 1 on, filters that become spaces, lower case."""
    word_index = {"<OOV>": 1, "the": 2, "sea": 3, "ship": 4, "sails": 5, "home": 6, "rare": 7}
    config = {"num_words": V, "filters": '!",.\t\n', "lower": True, "char_level": False, "oov_token": "<OOV>", "word_index": json.dumps(word_index)}
    path = tmp_path / "tokens.json"
    whole = json.dumps({"class_name": "Tokenizer", "config": config})
    if form == "pickle":
        path = write(tmp_path / "tokenizer.pickle", "")
        path.write_bytes(pickle.dumps(Tokenizer(config | {"word_index": word_index})))
    else:
        write(path, {"json": whole, "json in json": json.dumps(whole), "word_index": json.dumps(config | {"word_index": word_index})}[form])
    model = randomised(chain(layers.LSTM(6, return_sequences=True)), seed=4)
    run(convert, save(model, tmp_path / "model.keras"), tmp_path / "model", "--vocab", path)
    assert output(server_binary, "tokenize", "--model", tmp_path / "model", write(tmp_path / "text", "The sea, the RARE ship!")).split() == list("23214")


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text)
    return path


def chain(*between: object, dense: object = None) -> keras.Model:
    return keras.Sequential([layers.Input((None,)), layers.Embedding(V, 6), *between, dense or layers.Dense(V, activation="softmax")])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: chain(layers.LSTM(6, recurrent_activation="relu")), "`recurrent_activation` of the LSTM layer `lstm"),
        (lambda: chain(layers.GRU(6, return_sequences=True), layers.GRU(6, recurrent_activation="hard_sigmoid")), "expected one function"),
        (lambda: chain(layers.GRU(6, activation="relu")), "`activation` of the GRU layer `gru"),
        (lambda: chain(layers.SimpleRNN(6, activation="elu")), "is `elu`; expected `tanh` or `relu` or `sigmoid`"),
        (lambda: chain(layers.LSTM(6, go_backwards=True)), "`go_backwards`"),
        (lambda: chain(layers.Bidirectional(layers.LSTM(6))), "Bidirectional"),
        (lambda: chain(layers.LSTM(6, return_sequences=True), layers.GRU(6)), "expected one kind"),
        (lambda: chain(layers.LSTM(6), layers.Dense(8, activation="relu")), "after `dense"),
        (lambda: chain(layers.LSTM(6), dense=layers.Dense(V, activation="sigmoid")), "is `sigmoid`; expected `softmax` or `linear`"),
        (lambda: chain(layers.GlobalAveragePooling1D()), "GlobalAveragePooling1D"),
        (lambda: chain(layers.SimpleRNN(6, activation="sigmoid", return_sequences=True), layers.SimpleRNN(6)), "expected one kind"),
    ],
)
def test_what_would_compute_something_else_is_refused_by_name(tmp_path, model, message, suffix):
    path = save(model(), tmp_path / f"model{suffix}")
    assert message in refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")


def test_layers_that_are_no_chain_are_refused(tmp_path):
    words = keras.Input((None,))
    vectors = layers.Embedding(V, 6)(words)
    added = layers.Add()([vectors, layers.LSTM(6, return_sequences=True)(vectors)])
    path = save(keras.Model(words, layers.Dense(V)(added)), tmp_path / "model.keras")
    assert "`add`" in refusal(convert, path, tmp_path / "model", "--vocab", tmp_path / "words.txt")


def test_weights_alone_are_refused(tmp_path):
    model = chain(layers.LSTM(6))
    model.save_weights(tmp_path / "model.weights.h5")
    assert "holds weights alone" in refusal(convert, tmp_path / "model.weights.h5", tmp_path / "model")
