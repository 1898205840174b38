"""A network that reads a window as an ONNX graph: `tokens` int64 `[batch, context]`, the oldest first, to `logits` `[batch, vocabulary]`.

A tied table is both what Gather reads and what the last Gemm multiplies by.
"""

from __future__ import annotations

import numpy
from onnx import TensorProto, helper

from . import onnx_file
from .architecture import WindowArchitecture
from .onnx_file import LOGITS, TOKENS, Initializers


def to_bytes(shape: WindowArchitecture, tensors: dict[str, numpy.ndarray], dtype: numpy.dtype) -> bytes:
    """The content of the file, with weights stored as `dtype`."""
    weights = Initializers(tensors, dtype)
    hidden_inputs = ["features", weights.used("hidden.weight"), weights.used("hidden.bias")]
    if shape.cell == "cbow":
        features = helper.make_node("ReduceMean", ["vectors"], ["features"], axes=[1], keepdims=0)
        hidden = [helper.make_node("Gemm", hidden_inputs, ["hidden"], transB=1)]
    else:
        features = helper.make_node("Flatten", ["vectors"], ["features"], axis=1)
        hidden = [helper.make_node("Gemm", hidden_inputs, ["sums"], transB=1), helper.make_node("Tanh", ["sums"], ["hidden"])]
    output = weights.used("encoder.weight" if shape.tie_weights else "decoder.weight")
    graph = helper.make_graph(
        [
            *weights.casts,
            helper.make_node("Gather", [weights.used("encoder.weight"), TOKENS], ["vectors"], axis=0),
            features,
            *hidden,
            helper.make_node("Gemm", ["hidden", output, weights.used("decoder.bias")], [LOGITS], transB=1),
        ],
        shape.cell,
        [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["batch", shape.context])],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", shape.vocab_size])],
        weights.tensors,
    )
    return onnx_file.to_bytes(graph)


def shape_of(cell: str, tensors: dict[str, numpy.ndarray]) -> dict[str, object]:
    """The architecture, as far as the tensors of a file determine it."""
    vocab_size, embedding_size = tensors["encoder.weight"].shape
    return {
        "cell": cell,
        "vocab_size": vocab_size,
        "embedding_size": embedding_size,
        "hidden_sizes": [len(tensors["hidden.bias"])],
        "tie_weights": "decoder.weight" not in tensors,
    }
