"""The `.npz` of dennybritz/rnn-tutorial-rnnlm: `U [H, V]`, `W [H, H]`, `V [V, H]` of s = tanh(U x + W s), o = softmax(V s), x one-hot."""

from __future__ import annotations

import numpy

from ..errors import InputError
from .network import Layer, Network
from .source import Converted, Form, Reader, Source
from .tensors import Tensors

WHAT = "britz's RNN tutorial"


def read(source: Source, _: str | None) -> Converted:
    """The network of the three matrices."""
    found = sorted(source.content)
    if found == ["E", "U", "V", "W", "b", "c"]:
        raise InputError(f"`{source.path}` is the GRU of rnn-tutorial-gru-lstm, whose gates are hard sigmoids: the server has no such activation")
    if found != ["U", "V", "W"]:
        raise InputError(f"`{source.path}` holds the arrays {', '.join(found) or 'none'}; {WHAT} saves U, V and W")
    tensors = Tensors(source.content, WHAT)
    columns = tensors.take("U").T
    recurrent = tensors.take("W")
    if columns.ndim != 2 or recurrent.ndim != 2:
        raise InputError(f"`{source.path}` holds `U` with {columns.ndim} axes and `W` with {recurrent.ndim}; expected matrices")
    # A one-hot vector picks a column of U: that is the token's vector, which the layer takes as it is.
    identity = numpy.eye(columns.shape[1], dtype=numpy.float32)
    return Converted(Network("rnn_tanh", columns, [Layer(identity, recurrent)], tensors.take("V"), None))


READER = Reader("britz", WHAT, Form.NPZ, lambda source: True, read)
