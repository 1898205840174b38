"""Graphs without a state that compute logits from the last N ids, like feed-forward and CBOW language models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto

from case import Case, Ports
from graph import Graph, Name

VOCAB = 11
WIDTH = 4


def cases() -> Iterator[Case]:
    pad = {"pad": 0}
    yield case("cbow-5", cbow(5), 5, pad)
    yield case("cbow-3-nb", cbow(3, time_major=True), 3, pad, time_major=True)
    yield case("cbow-dynamic", cbow("N"), 4, pad | {"window": 4})
    yield case("cbow-frozen-b", cbow(5, batch=1), 5, pad)
    yield case("cbow-2-log", cbow(2, values="LogSoftmax"), 2, pad, values="log")
    yield case("cbow-2-probabilities", cbow(2, values="Softmax"), 2, pad, values="probabilities")
    # A graph does not say what precedes the first token.
    yield Case("cbow-5-without-pad", cbow(5), "refused", says="onnx.pad", oracle="none")
    yield Case("cbow-dynamic-without-window", cbow("N"), "refused", says="onnx.window", oracle="none")
    yield case("feed-forward-4", feed_forward(4), 4, {"pad": 7})
    yield case("feed-forward-4-int32-frozen-b", feed_forward(4, batch=1, ids=TensorProto.INT32), 4, pad, ids=np.int32)
    yield case("feed-forward-3-opset9", feed_forward(3, opset=9), 3, pad)
    yield case("feed-forward-1", feed_forward(1), 1, {})
    yield case("convolution-6", convolution(6), 6, pad)
    yield case("convolution-5-every-position", convolution(5, last=False), 5, pad, form="steps")


def case(name: str, model: onnx.ModelProto, window: int, hints: dict, **ports) -> Case:
    ports = Ports(**{"time_major": False, "form": "last"} | ports)
    return Case(name, model, "windowed", ports=ports, oracle="window", hints=hints, window=window)


class Weights:
    def __init__(self, graph: Graph, seed: int) -> None:
        self.graph, self.random = graph, np.random.default_rng(seed)

    def __call__(self, name: Name, *shape: int) -> Name:
        return self.graph.constant(self.random.uniform(-0.8, 0.8, shape), name, np.float32)


def finished(graph: Graph, y: Name, shape: list, values: str | None = None) -> onnx.ModelProto:
    graph.output(graph.op(values, y, axis=-1) if values else y, "y", shape)
    return graph.model("by-hand")


def cbow(window: int | str, time_major: bool = False, batch: int | str = "B", values: str | None = None) -> onnx.ModelProto:
    """The mean of the embeddings, then an affine layer (Mikolov et al. 2013, with the left context only)."""
    graph = Graph()
    weight = Weights(graph, 1)
    x = graph.input("x", [window, batch] if time_major else [batch, window], TensorProto.INT64)
    embedded = graph.op("Gather", weight("embedding", VOCAB, WIDTH), x)
    mean = graph.reduce("ReduceMean", embedded, (0 if time_major else 1,))
    y = graph.op("Gemm", mean, weight("decoder", VOCAB, WIDTH), weight("bias", VOCAB), transB=1)
    return finished(graph, y, [batch, VOCAB], values)


def feed_forward(window: int, batch: int | str = "B", ids: int = TensorProto.INT64, opset: int = 17) -> onnx.ModelProto:
    """The concatenated embeddings, a tanh layer, an affine layer (Bengio et al. 2003)."""
    graph = Graph(opset)
    weight = Weights(graph, 2)
    x = graph.input("x", [batch, window], ids)
    embedded = graph.op("Gather", weight("embedding", VOCAB, WIDTH), x)
    side_by_side = graph.op("Reshape", embedded, graph.constant([-1, window * WIDTH], dtype=np.int64))
    hidden = graph.op("Tanh", graph.op("Gemm", side_by_side, weight("hidden", window * WIDTH, 6), weight("hidden_bias", 6)))
    y = graph.op("Gemm", hidden, weight("decoder", 6, VOCAB), weight("bias", VOCAB))
    return finished(graph, y, [batch, VOCAB])


def convolution(window: int, last: bool = True) -> onnx.ModelProto:
    """A causal convolution over the window, whose last position depends on all of it."""
    graph = Graph()
    weight = Weights(graph, 3)
    x = graph.input("x", ["B", window], TensorProto.INT64)
    embedded = graph.op("Transpose", graph.op("Gather", weight("embedding", VOCAB, WIDTH), x), perm=[0, 2, 1])
    kernel = weight("kernel", 6, WIDTH, window)
    hidden = graph.op("Relu", graph.op("Conv", embedded, kernel, weight("kernel_bias", 6), pads=[window - 1, 0]))
    steps = graph.op("Transpose", hidden, perm=[0, 2, 1])
    if last:
        steps = graph.squeeze(graph.slice(steps, 1, -1, window), 1)
    y = graph.op("Add", graph.op("MatMul", steps, weight("decoder", 6, VOCAB)), weight("bias", VOCAB))
    return finished(graph, y, ["B", VOCAB] if last else ["B", window, VOCAB])
