"""Language models of Keras: Embedding -> SimpleRNN, GRU or LSTM, one or more -> Dense -> softmax. `keras_norms` reads what normalises in between.

Arrays are `kernel [in, G*H]`, `recurrent_kernel [H, G*H]`, `bias [G*H]`. An LSTM's gates are i, f, c, o, a GRU's z, r, h; a
GRU with `reset_after` has a bias `[2, 3*H]`, for the input and for the state, and applies its reset gate after the product.
CuDNNLSTM and CuDNNGRU of Keras 2 are an LSTM and a GRU with `reset_after` whose matrices are laid out otherwise (`out_of_cudnn`).
Layers and activations that the server does not have are refused by name.
"""

from __future__ import annotations

import dataclasses

import numpy

from ..errors import InputError
from . import keras_norms
from .keras_files import KerasLayer, KerasModel
from .network import GATES, Layer, Network, in_order
from .source import Converted, Form, Hints, Reader, Source
from .windows import Reading

WHAT = "a language model of Keras"
CHAIN = "Embedding, then SimpleRNN, GRU or LSTM layers, then Dense, and before any layer but the first at most one LayerNormalization or BatchNormalization"

ORDERS = {"SimpleRNN": GATES[1], "GRU": "zrn", "LSTM": GATES[4], "CuDNNGRU": "zrn", "CuDNNLSTM": GATES[4]}
CUDNN = {"CuDNNGRU": "gru", "CuDNNLSTM": "lstm"}
# Layers that do nothing at inference.
PASSING = {"InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"}
PLAIN = {"tanh": "rnn_tanh", "relu": "rnn_relu", "sigmoid": "rnn_sigmoid"}
# The default of Keras 2 is 0.2 x + 0.5, cut off at 0 and 1. Keras 3 has x / 6 + 0.5 under the same name.
HARD_SIGMOIDS = {1: "hard_sigmoid", 2: "hard_sigmoid", 3: "hard_sigmoid_sixth"}


def read(source: Source, _: Hints) -> Converted:
    """The network of a chain of layers."""
    model: KerasModel = source.content
    chain, norms = keras_norms.taken_out([layer for layer in in_chain(model.layers) if layer.kind not in PASSING])
    embeddings = [layer for layer in chain[:1] if layer.kind == "Embedding"]
    recurrent = [layer for layer in chain if layer.kind in ORDERS]
    dense, *after = chain[len(embeddings) + len(recurrent) :] or [None]
    if chain[len(embeddings) :][: len(recurrent)] != recurrent or not recurrent or dense is None:
        raise InputError(f"the layers are {', '.join(layer.kind for layer in chain)}; expected {CHAIN}")
    output, output_bias = output_of(dense, after)
    cells = {cell_of(layer) for layer in recurrent}
    if len(cells) > 1:
        raise InputError(f"the recurrent layers are of the kinds {', '.join(sorted(cells))}; expected one kind")
    gates = {gates_of(layer, model.version) for layer in recurrent}
    if len(gates) > 1:
        raise InputError(f"the gates of the recurrent layers are {', '.join(sorted(gates))}; expected one function")
    forms = {layer.kind == "CuDNNGRU" or bool(layer.config.get("reset_after")) for layer in recurrent}
    if cells == {"gru"} and len(forms) > 1:
        raise InputError("`reset_after` differs between the GRU layers; expected one form")
    notes = []
    if not embeddings:
        notes.append("There is no embedding: Keras reads one-hot vectors, the server an embedding that is the identity.")
    embedding = arrays_of(embeddings[0], 1)[0] if embeddings else numpy.eye(output.shape[0], dtype=numpy.float32)
    network = Network(
        cells.pop(),
        embedding,
        [dataclasses.replace(layer_of(layer), norm=norms.pop(layer.name, None)) for layer in recurrent],
        output,
        output_bias,
        gru_linear_before_reset=forms.pop(),
        gate_activation=gates.pop(),
        output_norm=norms.pop(dense.name, None),
    )
    if norms:
        raise InputError(f"the layers are {', '.join(layer.kind for layer in model.layers)}; expected {CHAIN}")
    reading = Reading(
        length=input_length(model.layers),
        only_last=not recurrent[-1].config.get("return_sequences"),
        stateful=any(layer.config.get("stateful") for layer in recurrent),
        masked_id=0 if embeddings and embeddings[0].config.get("mask_zero") else None,
    )
    return Converted(network, tuple(notes), reading)


def input_length(layers: list[KerasLayer]) -> int | None:
    """The fixed length of the input, if it is above 1: Keras 2 stores it with the first layer, Keras 3 with the input."""
    for layer in layers[:2]:
        shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape") or [None]
        for length in (layer.config.get("input_length"), *shape[1:2]):
            if isinstance(length, int) and length > 1:
                return length
    return None


def in_chain(layers: list[KerasLayer]) -> list[KerasLayer]:
    """The layers, each of which must read the layer before it and nothing else."""
    for before, layer in zip(layers, layers[1:]):
        if layer.inputs is not None and layer.inputs != [before.name]:
            raise InputError(f"the layer `{layer.name}` reads {', '.join(layer.inputs) or 'nothing'}; expected `{before.name}` alone: a chain of {CHAIN}")
    return layers


def cell_of(layer: KerasLayer) -> str:
    """The cell, if the server has its activations."""
    expect(layer, "go_backwards", (False, None))
    if layer.kind == "SimpleRNN":
        return PLAIN[expect(layer, "activation", tuple(PLAIN))]
    if layer.kind in CUDNN:
        return CUDNN[layer.kind]
    expect(layer, "activation", ("tanh",))
    return layer.kind.lower()


def gates_of(layer: KerasLayer, version: int) -> str:
    """The function of the gates, as the manifest calls it."""
    if layer.kind == "SimpleRNN" or layer.kind in CUDNN:
        return "sigmoid"
    found = expect(layer, "recurrent_activation", ("sigmoid", "hard_sigmoid"))
    if found == "sigmoid":
        return found
    if version not in HARD_SIGMOIDS:
        raise InputError(f"the model was saved by Keras {version}; which hard sigmoid that has is known of the versions up to {max(HARD_SIGMOIDS)}")
    return HARD_SIGMOIDS[version]


def expect(layer: KerasLayer, key: str, known: tuple[object, ...]) -> object:
    found = layer.config.get(key)
    if found not in known:
        expected = " or ".join(f"`{value}`" for value in known if value is not None)
        raise InputError(f"`{key}` of the {layer.kind} layer `{layer.name}` is `{found}`; expected {expected}")
    return found


def layer_of(layer: KerasLayer) -> Layer:
    """Arrays `[in, G*H]`, with gates along the second axis, as `[G*H, in]` in the order of the server."""
    kernel, recurrent_kernel, *bias = arrays_of(layer, 2)
    gates = ORDERS[layer.kind]
    if layer.kind in CUDNN:
        kernel, recurrent_kernel = (out_of_cudnn(matrix, len(gates)) for matrix in (kernel, recurrent_kernel))
    biases = bias[0].reshape(-1, recurrent_kernel.shape[1]) if bias else []
    return Layer(in_order(kernel.T, gates), in_order(recurrent_kernel.T, gates), *(in_order(one, gates) for one in biases))


def out_of_cudnn(matrix: numpy.ndarray, gate_count: int) -> numpy.ndarray:
    """A matrix of a CuDNN layer in the layout of the other layers, `[in, G*H]`: each of its gates holds the numbers of `[H, in]`, row by row."""
    return numpy.hstack([gate.reshape(gate.shape[::-1]).T for gate in numpy.array_split(matrix, gate_count, axis=1)])


def arrays_of(layer: KerasLayer, count: int) -> list[numpy.ndarray]:
    """At least `count` matrices, and perhaps a bias."""
    if len(layer.arrays) not in (count, count + 1) or any(array.ndim != 2 for array in layer.arrays[:count]):
        found = [tuple(array.shape) for array in layer.arrays]
        raise InputError(f"the {layer.kind} layer `{layer.name}` has the arrays {found}; expected {count} matrices and perhaps a bias")
    return layer.arrays


def output_of(dense: KerasLayer, after: list[KerasLayer]) -> tuple[numpy.ndarray, numpy.ndarray | None]:
    """The output layer's weight `[V, H]` and bias. The softmax may be its activation, a layer after it, or left to the loss."""
    inner = dense
    if dense.kind == "TimeDistributed":
        wrapped = dense.config["layer"]
        inner = KerasLayer(wrapped["class_name"], dense.name, wrapped["config"], dense.arrays, None)
    if inner.kind != "Dense":
        raise InputError(f"the layer `{dense.name}` after the recurrent ones is {inner.kind}; expected Dense")
    softmax = [layer for layer in after if layer.kind == "Softmax" or layer.kind == "Activation" and layer.config.get("activation") == "softmax"]
    if softmax != after or len(after) > 1:
        raise InputError(f"after `{dense.name}` comes {', '.join(f'{layer.kind} `{layer.name}`' for layer in after)}; expected at most a softmax")
    expect(inner, "activation", ("linear",) if after else ("softmax", "linear"))
    weight, *bias = arrays_of(inner, 1)
    return weight.T, bias[0] if bias else None


READER = Reader("keras", WHAT, Form.KERAS, lambda source: True, read)
