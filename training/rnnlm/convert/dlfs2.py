"""Pickles of "Deep Learning from Scratch 2" (Saito 2018): `save_params` of Rnnlm, BetterRnnlm and models built like them.

A list of arrays in the order of the layers: the embedding `[V, D]`; `Wx [in, G*H]`, `Wh [H, G*H]` and, where there is one,
`b [G*H]` of each recurrent layer; the output `[H, V]` and its bias. An LSTM's gates are f, g, i, o. A GRU's are z, r, h with
the reset gate before the product, and its z weighs the candidate: h = (1 - z) h_prev + z h~.
"""

from __future__ import annotations

import numpy

from ..errors import InputError
from .network import GATES, Layer, Network, cell_of, in_order, with_update_gate_inverted
from .pickles import Array
from .source import Converted, Form, Hints, Reader, Source

WHAT = "a language model of Deep Learning from Scratch 2"
ORDERS = {1: "h", 3: "zrn", 4: "fgio"}


def read(source: Source, _: Hints) -> Converted:
    """The network of a parameter list."""
    arrays = parameters(source.content)
    shapes = [array.shape for array in arrays] or type(source.content).__name__
    if len(arrays) < 5 or [len(shape) for shape in (shapes[0], *shapes[-2:])] != [2, 2, 1]:
        raise InputError(f"`{source.path}` is not the parameter list of {WHAT}: found the shapes {shapes}, expected an embedding, layers, an output and its bias")
    embedding, *rest, output, output_bias = [array.astype(numpy.float32) for array in arrays]
    layers = []
    while rest:
        if len(rest) < 2 or rest[0].ndim != 2 or rest[1].ndim != 2:
            raise InputError(f"`{source.path}` holds the shapes {shapes}; expected each layer as `Wx [in, G*H]`, `Wh [H, G*H]` and perhaps `b [G*H]`")
        w_ih, w_hh, *rest = rest
        bias, rest = (rest[0], rest[1:]) if rest and rest[0].ndim == 1 else (None, rest)
        layers.append(layer(w_ih.T, w_hh.T, bias))
    cell = cell_of(layers, plain="rnn_tanh")
    return Converted(Network(cell, embedding, layers, output.T, output_bias, gru_linear_before_reset=False))


def layer(w_ih: numpy.ndarray, w_hh: numpy.ndarray, bias: numpy.ndarray | None) -> Layer:
    """One layer, with gates along the first axis, in the order and with the meaning that the server expects."""
    order = ORDERS.get(Layer(w_ih, w_hh).gate_count, GATES[1])

    def converted(weight: numpy.ndarray) -> numpy.ndarray:
        weight = in_order(weight, order)
        return with_update_gate_inverted(weight) if order == ORDERS[3] else weight

    return Layer(converted(w_ih), converted(w_hh), None if bias is None else converted(bias))


def parameters(content: object) -> list[numpy.ndarray]:
    """The arrays of a list of arrays; no arrays of any other value."""
    listed = isinstance(content, (list, tuple)) and all(isinstance(array, Array) for array in content)
    return [array.values for array in content] if listed else []


READER = Reader("dlfs2", WHAT, Form.PICKLE, lambda source: True, read)
