"""A recurrent network that reads a window, as an ONNX graph: `tokens` int64 `[batch, context]`, the oldest first, to `logits` `[batch, vocabulary]`.

Each window is read from a zero state, and only the last position has logits: that is how such a network was trained.
"""

from __future__ import annotations

import numpy
from onnx import TensorProto, helper

from . import onnx_file
from .architecture import WindowArchitecture
from .onnx_file import LOGITS, TOKENS, Initializers
from .onnx_recurrent import cell_node, constant, operator_weights, output_nodes


def to_bytes(shape: WindowArchitecture, tensors: dict[str, numpy.ndarray], dtype: numpy.dtype) -> bytes:
    """The content of the file, with weights stored as `dtype`."""
    weights = Initializers(operator_weights(shape, tensors), dtype)
    nodes = [
        *weights.casts,
        helper.make_node("Gather", [weights.used("encoder.weight"), TOKENS], ["vectors"], axis=0),
        helper.make_node("Transpose", ["vectors"], ["outputs"], perm=[1, 0, 2]),
    ]
    top = len(shape.hidden_sizes) - 1
    for layer in range(top):
        nodes.append(cell_node(shape, layer, weights, [], [f"directions_l{layer}"]))
        nodes.append(helper.make_node("Squeeze", [f"directions_l{layer}", "at_1"], [f"outputs_l{layer}"]))
    # Of the top layer only the last output: [directions, batch, hidden], of which the first axis is dropped.
    nodes.append(cell_node(shape, top, weights, [], ["", "last"]))
    nodes.append(helper.make_node("Squeeze", ["last", "at_0"], ["hidden"]))
    graph = helper.make_graph(
        [*nodes, *output_nodes(shape, "hidden", weights)],
        shape.cell,
        [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["batch", shape.context])],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", shape.vocab_size])],
        [*weights.tensors, *map(constant, (0, 1) if top > 0 else (0,))],
    )
    return onnx_file.to_bytes(graph)
