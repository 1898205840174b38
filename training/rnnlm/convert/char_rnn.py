"""char-rnn of TensorFlow (sherjilozair/char-rnn-tensorflow) and the same network as ml5.js stores it.

A cell multiplies `[x; h]` by one kernel `[in + H, G*H]`. An LSTM's gates are i, j, f, o, where j is the candidate, and 1.0
is added to f when the network runs. A GRU's gates are r and u, its candidate has a kernel of its own, and the reset gate is applied
before the product.
"""

from __future__ import annotations

import pathlib
import re

import numpy

from .network import GATES, Layer, Network, in_order
from .source import Converted, Form, Hints, Reader, Source
from .tensors import Tensors

WHAT = "TensorFlow's char-rnn"
FORGET_BIAS = 1.0

# `weights` and `biases` are the names before TensorFlow 1.2, `Linear/Matrix` and `Linear/Bias` those before 1.0.
CELL = re.compile(
    r"(?:multi_rnn_cell|MultiRNNCell)/[cC]ell_?(\d+)/(basic_lstm_cell|lstm_cell|basic_rnn_cell|gru_cell|BasicLSTMCell|LSTMCell|BasicRNNCell|GRUCell)/"
    r"([gG]ates/|[cC]andidate/|)(kernel|weights|Linear/Matrix|bias|biases|Linear/Bias)"
)
# What training leaves beside the weights: the learning rate, and Adam's moments.
TRAINING = re.compile(r"Variable(_\d+)?|global_step|beta[12]_power|(.*/)?Adam(_\d+)?|optimizer/.*")


def read(source: Source, _: Hints) -> Converted:
    """The network of a checkpoint."""
    return Converted(network(source.content))


def network(named: dict[str, numpy.ndarray]) -> Network:
    """The network of these variables."""
    named = {name.removeprefix("rnnlm/"): tensor for name, tensor in named.items() if not TRAINING.fullmatch(name.removeprefix("rnnlm/"))}
    tensors = Tensors(named, WHAT)
    cells: dict[int, dict[str, numpy.ndarray]] = {}
    kinds = set()
    for name, match in [(name, CELL.fullmatch(name)) for name in named]:
        if match:
            part = match[3].lower() + ("kernel" if match[4] in ("kernel", "weights", "Linear/Matrix") else "bias")
            kinds.add(match[2])
            cells.setdefault(int(match[1]), {})[part] = tensors.take(name)
    output, output_bias = tensors.take("softmax_w"), tensors.take("softmax_b")
    # ml5.js also runs a model without an embedding, on one-hot vectors.
    embedding = tensors.take("embedding") if "embedding" in tensors else numpy.eye(output.shape[1], dtype=numpy.float32)
    tensors.finish()
    cell = {"basic_rnn_cell": "rnn_tanh", "BasicRNNCell": "rnn_tanh", "gru_cell": "gru", "GRUCell": "gru"}.get("".join(kinds), "lstm")
    layers = [layer(cell, cells[k]) for k in sorted(cells)]
    return Network(cell, embedding, layers, output.T, output_bias, gru_linear_before_reset=False)


def layer(cell: str, parts: dict[str, numpy.ndarray]) -> Layer:
    """One cell's kernel and bias, split into the server's tensors."""
    parts = Tensors(parts, f"a {cell} cell of {WHAT}")
    if cell == "gru":
        kernel = numpy.concatenate([parts.take("gates/kernel"), parts.take("candidate/kernel")], axis=1)
        bias = numpy.concatenate([parts.take("gates/bias"), parts.take("candidate/bias")])
    else:
        kernel, bias = parts.take("kernel"), parts.take("bias")
    gates = {"lstm": "igfo", "gru": GATES[3], "rnn_tanh": GATES[1]}[cell]
    hidden = kernel.shape[1] // len(gates)
    weight = in_order(kernel.T, gates)
    bias = in_order(bias, gates)
    if cell == "lstm":
        bias[hidden : 2 * hidden] += FORGET_BIAS
    return Layer(w_ih=weight[:, :-hidden], w_hh=weight[:, -hidden:], b_ih=bias)


def beside(name: str):
    """Finds the vocabulary in the folder of the weights."""

    def vocabulary(source: Source) -> pathlib.Path | None:
        path = (source.path if source.path.is_dir() else source.path.parent) / name
        return path if path.is_file() else None

    return vocabulary


READER = Reader("char-rnn-tensorflow", WHAT, Form.TENSORFLOW, lambda source: True, read, beside("chars_vocab.pkl"))
ML5_READER = Reader("ml5", "a CharRNN of ml5.js", Form.ML5, lambda source: True, read, beside("vocab.json"))
