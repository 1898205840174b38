"""The `.npz` of Denny Britz's tutorials: the RNN of rnn-tutorial-rnnlm and the GRU of rnn-tutorial-gru-lstm.

The RNN has `U [H, V]`, `W [H, H]`, `V [V, H]`: s = tanh(U x + W s), o = softmax(V s), x one-hot. The GRU has an embedding `E [H, V]`,
and `U`, `W [3 L, H, H]`, `b [3 L, H]` of L layers, each with its gates z, r and the candidate, then `V [V, H]` and `c [V]`. Its gates are
hard sigmoids (Theano's, 0.2 x + 0.5), and its reset gate acts on the state before the product.
"""

from __future__ import annotations

import numpy

from ..errors import InputError
from .network import GATES, Layer, Network, in_order
from .source import Converted, Form, Hints, Reader, Source
from .tensors import Tensors

WHAT = "Britz's RNN tutorials"
ORDER = "zrn"
AXES = {"E": 2, "U": 3, "W": 3, "V": 2, "b": 2, "c": 1}
# The tutorials do not say it in their files.
NOTE = "The tutorials lowercase text and split it with NLTK's `word_tokenize`: send lowercase words, and punctuation, separated by spaces."


def read(source: Source, _: Hints) -> Converted:
    """The network of the arrays, by their names."""
    found = sorted(source.content)
    networks = {("U", "V", "W"): rnn, ("E", "U", "V", "W", "b", "c"): gru}
    network = networks.get(tuple(found))
    if network is None:
        raise InputError(f"`{source.path}` holds the arrays {', '.join(found) or 'none'}; {WHAT} save U, V and W, or E, U, V, W, b and c")
    return Converted(network(source, Tensors(source.content, WHAT)), (NOTE,))


def rnn(source: Source, tensors: Tensors) -> Network:
    """The plain network. A one-hot vector picks a column of U: that is the token's vector, which the layer takes as it is."""
    columns = tensors.take("U").T
    recurrent = tensors.take("W")
    if columns.ndim != 2 or recurrent.ndim != 2:
        raise InputError(f"`{source.path}` holds `U` with {columns.ndim} axes and `W` with {recurrent.ndim}; expected matrices")
    identity = numpy.eye(columns.shape[1], dtype=numpy.float32)
    return Network("rnn_tanh", columns, [Layer(identity, recurrent)], tensors.take("V"), None)


def gru(source: Source, tensors: Tensors) -> Network:
    """The network with gates. U, W and b hold the gates of the first layer, then those of the next."""
    arrays = {name: tensors.take(name) for name in AXES}
    for name, array in arrays.items():
        if array.ndim != AXES[name]:
            raise InputError(f"`{source.path}` holds `{name}` with {array.ndim} axes; expected {AXES[name]}")
    parts = [arrays[name] for name in "UWb"]
    gates = len(GATES[3])
    counts = {len(part) for part in parts}
    layers = len(parts[0]) // gates
    if counts != {layers * gates} or layers == 0:
        found = ", ".join(f"{len(part)} gates in `{name}`" for name, part in zip("UWb", parts))
        raise InputError(f"`{source.path}` holds {found}; expected {gates} for each layer")
    by_layer = zip(*(part.reshape(layers, -1, *part.shape[2:]) for part in parts))
    return Network(
        "gru",
        arrays["E"].T,
        [Layer(*(in_order(part, ORDER) for part in layer)) for layer in by_layer],
        arrays["V"],
        arrays["c"],
        gru_linear_before_reset=False,
        gate_activation="hard_sigmoid",
    )


READER = Reader("britz", WHAT, Form.NPZ, lambda source: True, read)
