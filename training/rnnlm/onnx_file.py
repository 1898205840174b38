"""What the ONNX graphs of this package have in common: how their weights are stored and read back.

Weights are initializers, in f32, or in f16 followed by a Cast. Each is in the file once. The graph's name is its cell.
"""

from __future__ import annotations

import pathlib

import numpy
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from .errors import InputError

# Released in 2021: every runtime that is still maintained reads them.
OPSET, IR_VERSION = 17, 8
TOKENS, LOGITS = "tokens", "logits"


class Initializers:
    """Weights stored as `dtype`, and the Casts through which nodes use them in f32."""

    def __init__(self, weights: dict[str, numpy.ndarray], dtype: numpy.dtype) -> None:
        self.tensors: list[TensorProto] = [numpy_helper.from_array(weight.astype(dtype), name) for name, weight in weights.items()]
        self._cast = dtype != numpy.float32
        self.casts: list[NodeProto] = []
        if self._cast:
            self.casts = [helper.make_node("Cast", [name], [self.used(name)], to=TensorProto.FLOAT) for name in weights]

    def used(self, name: str) -> str:
        """The name by which nodes refer to a weight."""
        return f"{name}.f32" if self._cast else name


def to_bytes(graph: GraphProto) -> bytes:
    """The content of a checked file; the same graph gives the same bytes."""
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="rnnlm-training")
    onnx.checker.check_model(file, full_check=True)
    return file.SerializeToString(deterministic=True)


def read(path: pathlib.Path) -> GraphProto:
    """The graph of a file."""
    try:
        return onnx.load(path).graph
    except (OSError, DecodeError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read as ONNX: {error}") from error


def initializers(graph: GraphProto) -> dict[str, numpy.ndarray]:
    """The weights of a graph that `to_bytes` wrote, in f32."""
    return {tensor.name: numpy_helper.to_array(tensor).astype(numpy.float32) for tensor in graph.initializer}
