"""Keras 3 through tf2onnx: the files that people get when they export a model trained with Keras.

Needs requirements-keras.txt. Of the recurrent layers, only the LSTM is exported as a node, and not always; the others become a Loop.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

from case import Case, Part, Ports
from network import Network

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU, "rnn_tanh": layers.SimpleRNN}

LSTM, LSTM_2 = Network("lstm", bias="input"), Network("lstm", (5, 5), bias="input")


def cases() -> Iterator[Case]:
    yield exported("keras-lstm", LSTM)
    yield exported("keras-lstm-2-softmax", LSTM_2, softmax=True)
    yield exported("keras-lstm-2-opset11", LSTM_2, opset=11)
    yield exported("keras-lstm-opset18", LSTM, opset=18)
    yield exported("keras-lstm-int64", LSTM, ids=tf.int64)
    yield exported("keras-lstm-float-ids", LSTM, ids=tf.float32)
    yield exported("keras-lstm-no-bias", Network("lstm", bias="none", output_bias=False))
    # The state is an input and an output: what remains of `stateful` in an export.
    yield exported("keras-lstm-states", LSTM, states=True)
    yield exported("keras-lstm-2-states-softmax", LSTM_2, states=True, softmax=True)
    # With every size fixed it is exported as a Loop.
    yield exported("keras-lstm-states-t1-b1", LSTM, states=True, frozen=(1, 1))
    # Fixed windows and the distribution of the last position: the usual tutorial on text generation.
    yield exported("keras-lstm-windowed", LSTM, frozen=(6, None), last=True, softmax=True)
    yield exported("keras-lstm-2-windowed", LSTM_2, frozen=(6, None), last=True, softmax=True)
    yield exported("keras-lstm-last", LSTM, last=True)
    for cell in ("gru", "rnn_tanh"):
        network = Network(cell, bias="both" if cell == "gru" else "input")
        yield exported(f"keras-{cell}-loop", network)
        options = {"states": True, "frozen": (1, 1), "options": {"unroll": True}}
        yield exported(f"keras-{cell}-unrolled", network, **options)
    yield exported("keras-lstm-stateful", LSTM, frozen=(None, 1), options={"stateful": True})
    hard = Network("lstm", bias="input", gates="hard_sigmoid_sixth")
    yield exported("keras-lstm-hard-sigmoid", hard, options={"recurrent_activation": "hard_sigmoid"})
    yield windowed("keras-cbow", layers.GlobalAveragePooling1D())
    yield windowed("keras-feed-forward", layers.Flatten(), layers.Dense(6, activation="tanh"))


def exported(
    name: str,
    network: Network,
    softmax: bool = False,
    last: bool = False,
    states: bool = False,
    frozen: tuple[int | None, int | None] = (None, None),
    ids: Any = tf.int32,
    opset: int = 15,
    refused: str = "",
    options: dict | None = None,
    **more,
) -> Case:
    time, batch = frozen
    x = keras.Input(batch_shape=(batch, time), dtype=ids.name, name="x")
    h = layers.Embedding(network.vocab_size, network.embedding_size)(x)
    inputs, outputs, parts = [x], [], []
    for k, hidden in enumerate(network.hidden_sizes):
        whole = not (last and k == network.layers - 1)
        build = {"return_sequences": whole, "return_state": states, "use_bias": network.bias != "none"} | (options or {})
        own = [keras.Input(batch_shape=(batch, hidden), name=f"{kind}{k}") for kind in network.kinds] if states else []
        found = CELLS[network.cell](hidden, **build)(h, initial_state=own if states else None)
        h, *after = found if states else [found]
        inputs, outputs = inputs + own, outputs + after
        parts += [Part(f"{kind}{k}", None, kind, (k,), "BH") for kind in network.kinds] if states else []
    y = layers.Dense(network.vocab_size, activation="softmax" if softmax else None, use_bias=network.output_bias)(h)
    model = keras.Model(inputs, [y, *outputs])
    model.set_weights(keras_weights(network))
    file = convert(model, inputs, opset)
    names = [output.name for output in file.graph.output]
    parts = [Part(part.input, output, part.kind, part.layers, part.form) for part, output in zip(parts, names[1:])]
    dtype = {tf.int32: np.int32, tf.int64: np.int64, tf.float32: np.float32}[ids]
    ports = Ports("x", names[0], False, dtype, "probabilities" if softmax else "logits", "last" if last else "steps", tuple(parts))
    if refused:
        return Case(name, file, "refused", says=refused, oracle="none")
    complete = states and not last and frozen == (None, None)
    more = {"outcome": "lowered", "oracle": "file" if complete else "twin"} | more
    return Case(name, file, network=network, ports=ports, frozen=frozen, **more)


def convert(model: keras.Model, inputs: list, opset: int = 15) -> onnx.ModelProto:
    """Calls the model with its inputs in order, as tf2onnx's `from_keras` did for Keras 2."""
    signature = [tf.TensorSpec(i.shape, i.dtype, name=i.name) for i in inputs]
    function = tf.function(lambda *values: model(list(values) if len(values) > 1 else values[0]), input_signature=signature)
    file, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=opset)
    return file


def keras_weights(network: Network) -> list[np.ndarray]:
    """The weights in the order in which Keras lists them: kernels are transposed, gates are i f c o and z r h."""
    weights = network.weights()

    def gates(name: str) -> np.ndarray:
        tensor = weights[name]
        if network.cell != "gru":
            return tensor
        r, z, n = np.split(tensor, 3)
        return np.concatenate([z, r, n])

    found = [weights["encoder.weight"]]
    for k in range(network.layers):
        found += [gates(f"rnn.weight_ih_l{k}").T, gates(f"rnn.weight_hh_l{k}").T]
        if network.bias == "input":
            found.append(gates(f"rnn.bias_ih_l{k}"))
        elif network.bias == "both":
            found.append(np.stack([gates(f"rnn.bias_ih_l{k}"), gates(f"rnn.bias_hh_l{k}")]))
    found.append(weights["decoder.weight"].T)
    return found + ([weights["decoder.bias"]] if network.output_bias else [])


def windowed(name: str, *middle: layers.Layer) -> Case:
    x = keras.Input((4,), dtype="int32", name="x")
    h = layers.Embedding(11, 4)(x)
    for layer in middle:
        h = layer(h)
    model = keras.Model(x, layers.Dense(11, activation="softmax")(h))
    random = np.random.default_rng(8)
    model.set_weights([random.uniform(-0.8, 0.8, tensor.shape) for tensor in model.get_weights()])
    file = convert(model, [x])
    ports = Ports("x", file.graph.output[0].name, False, np.int32, "probabilities", "last")
    return Case(name, file, "feed_forward", ports=ports, oracle="window", window=4, hints={"pad": 0})
