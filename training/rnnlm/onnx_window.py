"""A network that reads a window as an ONNX graph: `tokens` int64 `[batch, context]`, the oldest first, to `logits` `[batch, vocabulary]`.

Weights are initialisers under their stored names, in f32 or in f16 with a Cast behind them, and each is in the file once: a
tied table is both what Gather reads and what the last Gemm multiplies by.
"""

from __future__ import annotations

import pathlib

import numpy
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from .errors import InputError
from .model import stored_weights
from .window import WINDOW_CELLS, WindowLm

DTYPES = {torch.float32: numpy.float32, torch.float16: numpy.float16}
OPSET, IR_VERSION = 17, 8
TOKENS, LOGITS = "tokens", "logits"


def to_bytes(model: WindowLm, dtype: torch.dtype) -> bytes:
    """The content of the file, with weights stored as `dtype`."""
    shape = model.architecture
    weights = {name: weight.float().numpy().astype(DTYPES[dtype]) for name, weight in stored_weights(model).items()}
    casts = [] if dtype is torch.float32 else [helper.make_node("Cast", [name], [f"{name}.f32"], to=TensorProto.FLOAT) for name in weights]
    used = {name: name for name in weights} if dtype is torch.float32 else {name: f"{name}.f32" for name in weights}
    hidden_inputs = ["features", used["hidden.weight"], used["hidden.bias"]]
    if shape.cell == "cbow":
        features = helper.make_node("ReduceMean", ["vectors"], ["features"], axes=[1], keepdims=0)
        hidden = [helper.make_node("Gemm", hidden_inputs, ["hidden"], transB=1)]
    else:
        features = helper.make_node("Flatten", ["vectors"], ["features"], axis=1)
        hidden = [helper.make_node("Gemm", hidden_inputs, ["sums"], transB=1), helper.make_node("Tanh", ["sums"], ["hidden"])]
    output = used["encoder.weight" if shape.tie_weights else "decoder.weight"]
    graph = helper.make_graph(
        [
            *casts,
            helper.make_node("Gather", [used["encoder.weight"], TOKENS], ["vectors"], axis=0),
            features,
            *hidden,
            helper.make_node("Gemm", ["hidden", output, used["decoder.bias"]], [LOGITS], transB=1),
        ],
        shape.cell,
        [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["batch", shape.context])],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", shape.vocab_size])],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="rnnlm-training")
    onnx.checker.check_model(file, full_check=True)
    return file.SerializeToString()


def read(path: pathlib.Path) -> tuple[str, dict[str, torch.Tensor]]:
    """The cell and the weights, in float32, of a file that `to_bytes` made."""
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise InputError(f"`{path}` cannot be read as ONNX: {error}") from error
    if graph.name not in WINDOW_CELLS:
        raise InputError(f"`{path}` holds the graph `{graph.name}`, expected one of {', '.join(WINDOW_CELLS)}")
    weights = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).astype(numpy.float32)) for tensor in graph.initializer}
    return graph.name, weights
