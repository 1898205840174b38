"""The network of textgenrnn as an ONNX graph: LSTM layers over a window, attention over what all of them gave, an affine layer.

Attention looks at the whole window, so that there is no state to carry on: the graph is served as one that reads a window. For each of
its positions it has the embedding beside the output of every layer; `attention [C]` scores the positions, and their mean by the softmax
of the scores is what the affine layer sees.
"""

from __future__ import annotations

import dataclasses

import numpy
from onnx import NodeProto, TensorProto, helper

from .. import onnx_file
from ..architecture import Architecture
from ..errors import InputError
from ..onnx_file import LOGITS, TOKENS, Initializers
from ..onnx_recurrent import cell_node, constant, operator_weights, output_nodes
from ..weights_file import DTYPES, FORMATS, WeightsFile
from .network import Network, Window


@dataclasses.dataclass(frozen=True)
class AttentionNetwork:
    """Its parts: `recurrent` has an output `[V, C]` in place of one `[V, H]`, where C is all widths together."""

    recurrent: Network
    attention: numpy.ndarray  # [C]

    cell = "lstm with attention"
    gate_activation = "sigmoid"
    tie_weights = False

    @property
    def vocab_size(self) -> int:
        return self.recurrent.vocab_size

    @property
    def embedding_size(self) -> int:
        return self.recurrent.embedding_size

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        return self.recurrent.hidden_sizes

    @property
    def parameter_count(self) -> int:
        return sum(tensor.size for tensor in self._tensors("f32").values()) + self.attention.size

    def file(self, dtype: str, window: Window | None, pad: str | None) -> WeightsFile:
        """The graph."""
        if window is None:
            raise InputError("the network pays attention to a whole window, and has no state to carry on: leave --window none out")
        if dtype == "bf16":
            raise InputError("ONNX graphs are stored as f32 or f16, which every runtime reads; found bf16")
        shape = self.recurrent.shape()
        tensors = operator_weights(shape, self._tensors(dtype)) | {"attention.weight": self.attention[:, None].astype(numpy.float32)}
        weights = Initializers(tensors, DTYPES[dtype])
        graph = helper.make_graph(
            [*weights.casts, *graph_nodes(shape, weights)],
            "textgenrnn",
            [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["batch", window.context])],
            [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", shape.vocab_size])],
            [*weights.tensors, constant(0), constant(1)],
        )
        names = {"tokens": TOKENS, "logits": LOGITS, "window": window.context, "pad": pad}
        return WeightsFile(onnx_file.to_bytes(graph), {"weights": FORMATS["onnx"], "onnx": names})

    def _tensors(self, dtype: str) -> dict[str, numpy.ndarray]:
        width = self.embedding_size + sum(self.hidden_sizes)
        if self.attention.shape != (width,) or self.recurrent.output.shape != (self.vocab_size, width):
            raise InputError(
                f"the attention has the shape {self.attention.shape} and the output {self.recurrent.output.shape}; "
                f"expected {(width,)} and {(self.vocab_size, width)}, as wide as the embedding and all layers together"
            )
        narrow = dataclasses.replace(self.recurrent, output=self.recurrent.output[:, : self.hidden_sizes[-1]])
        return narrow.tensors(DTYPES[dtype]) | {"decoder.weight": numpy.ascontiguousarray(self.recurrent.output)}


def graph_nodes(shape: Architecture, weights: Initializers) -> list[NodeProto]:
    """From ids `[batch, N]` to logits `[batch, V]`; in between, positions come first: `[N, batch, width]`."""
    nodes = [
        helper.make_node("Gather", [weights.used("encoder.weight"), TOKENS], ["vectors"], axis=0),
        helper.make_node("Transpose", ["vectors"], ["outputs"], perm=[1, 0, 2]),
    ]
    layers = range(len(shape.hidden_sizes))
    for layer in layers:
        nodes.append(cell_node(shape, layer, weights, [], [f"directions_l{layer}"]))
        nodes.append(helper.make_node("Squeeze", [f"directions_l{layer}", "at_1"], [f"outputs_l{layer}"]))
    return [
        *nodes,
        helper.make_node("Concat", ["outputs", *(f"outputs_l{layer}" for layer in layers)], ["positions"], axis=2),
        helper.make_node("MatMul", ["positions", weights.used("attention.weight")], ["attention_scores"]),
        helper.make_node("Softmax", ["attention_scores"], ["shares"], axis=0),
        helper.make_node("Mul", ["positions", "shares"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "at_0"], ["hidden"], keepdims=0),
        *output_nodes(shape, "hidden", weights),
    ]
