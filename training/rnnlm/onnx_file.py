"""What the ONNX graphs of this package have in common: how their weights are stored and read back.

Weights are initialisers, in f32 or in f16 with a Cast behind them, and each is in the file once. The graph's name is its cell.
"""

from __future__ import annotations

import pathlib

import numpy
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from .errors import InputError

DTYPES = {torch.float32: numpy.float32, torch.float16: numpy.float16}
# Of 2021: what is not years old reads them.
OPSET, IR_VERSION = 17, 8
TOKENS, LOGITS = "tokens", "logits"


class Initialisers:
    """Weights stored as `dtype`, and the Casts by which nodes use them in f32."""

    def __init__(self, weights: dict[str, torch.Tensor], dtype: torch.dtype) -> None:
        arrays = {name: weight.float().numpy().astype(DTYPES[dtype]) for name, weight in weights.items()}
        self.tensors: list[TensorProto] = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
        self.casts: list[NodeProto] = []
        self._cast = dtype is not torch.float32
        if self._cast:
            self.casts = [helper.make_node("Cast", [name], [self.used(name)], to=TensorProto.FLOAT) for name in arrays]

    def used(self, name: str) -> str:
        """The name under which nodes take a weight."""
        return f"{name}.f32" if self._cast else name


def to_bytes(graph: GraphProto) -> bytes:
    """The content of a checked file; the same graph gives the same bytes."""
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="rnnlm-training")
    onnx.checker.check_model(file, full_check=True)
    return file.SerializeToString(deterministic=True)


def read(path: pathlib.Path, cells: tuple[str, ...]) -> tuple[str, dict[str, torch.Tensor]]:
    """The cell of a file that `to_bytes` made, one of `cells`, and its initialisers in f32."""
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise InputError(f"`{path}` cannot be read as ONNX: {error}") from error
    if graph.name not in cells:
        raise InputError(f"`{path}` holds the graph `{graph.name}`, expected one that export.py made: {', '.join(cells)}")
    return graph.name, {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).astype(numpy.float32)) for tensor in graph.initializer}
