"""Graphs without a state that compute logits from the last N ids: feed-forward and CBOW language models, and what is neither."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper

from case import Case, Ports
from graph import Graph, Name
from layers import biased
from quantised import optimised

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
    yield case("feed-forward-4-ruled-out", biased(feed_forward(4), np.where(np.arange(VOCAB) == 2, -np.inf, 0)), 4, pad)
    yield case("feed-forward-4-optimised", optimised(feed_forward(4)), 4, pad)
    yield case("feed-forward-tied-3-f16", tied(3), 3, pad)
    yield case("feed-forward-layers-4-log", layers(4, "LogSoftmax"), 4, pad, values="log")
    yield case("cbow-layers-4-nb", layers(4, mean=True, time_major=True), 4, {"pad": 3}, time_major=True)
    yield Case("cbow-5-carried", cbow(5), "refused", says='`onnx.window` is "none"', hints={"window": "none"}, oracle="none")
    yield Case("cbow-5-of-4", cbow(5), "refused", says="reads 5 token ids", hints={"window": 4, "pad": 0}, oracle="none")
    yield case("cbow-5-b32", cbow(5, batch=32), 5, pad, frozen=(5, 32))
    yield case("convolution-6", convolution(6), 6, pad, outcome="windowed")
    yield case("convolution-5-every-position", convolution(5, last=False), 5, pad, outcome="windowed", form="steps")


def case(name: str, model: onnx.ModelProto, window: int, hints: dict, outcome: str = "feed_forward", frozen: tuple[int | None, int | None] = (None, None), **ports) -> Case:
    ports = Ports(**{"time_major": False, "form": "last"} | ports)
    return Case(name, model, outcome, ports=ports, oracle="window", hints=hints, window=window, frozen=frozen)


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


def tied(window: int) -> onnx.ModelProto:
    """A hidden layer as wide as the embedding, which is the output layer too, stored as f16."""
    graph = Graph()
    weight = Weights(graph, 4)
    x = graph.input("x", ["B", window], TensorProto.INT64)

    def half(name: Name, *shape: int) -> Name:
        values = weight.random.uniform(-0.8, 0.8, shape).astype(np.float16)
        graph.nodes.append(helper.make_node("Cast", [graph.constant(values, name)], [f"{name}_f32"], to=TensorProto.FLOAT))
        return f"{name}_f32"

    table = half("embedding", VOCAB, WIDTH)
    side_by_side = graph.op("Flatten", graph.op("Gather", table, x), axis=1)
    sums = graph.op("Gemm", side_by_side, half("hidden", WIDTH, window * WIDTH), half("hidden_bias", WIDTH), transB=1)
    y = graph.op("Gemm", graph.op("Tanh", sums), table, half("bias", VOCAB), transB=1)
    return finished(graph, y, ["B", VOCAB])


def layers(window: int, values: str | None = None, mean: bool = False, time_major: bool = False) -> onnx.ModelProto:
    """Layers with ReLU, with sigmoid, and with nothing between two products."""
    graph = Graph()
    weight = Weights(graph, 5)
    x = graph.input("x", [window, "B"] if time_major else ["B", window], TensorProto.INT64)
    embedded = graph.op("Gather", weight("embedding", VOCAB, WIDTH), x)
    if mean:
        h, width = graph.reduce("ReduceMean", embedded, (0 if time_major else 1,)), WIDTH
    else:
        h, width = graph.op("Reshape", embedded, graph.constant([0, window * WIDTH], dtype=np.int64)), window * WIDTH
    for k, (size, activation) in enumerate([(7, "Relu"), (5, None), (6, "Sigmoid")]):
        h = graph.op("Add", graph.op("MatMul", h, weight(f"w{k}", width, size)), weight(f"b{k}", size))
        h, width = graph.op(activation, h) if activation else h, size
    y = graph.op("MatMul", h, weight("decoder", width, VOCAB))
    return finished(graph, y, ["B", VOCAB], values)


def convolution(
    window: int, last: bool = True, batch: int | str = "B", time_major: bool = False, fused: bool = False
) -> onnx.ModelProto:
    """A causal convolution over the window, whose last position depends on all of it; or fused with its activation."""
    graph = Graph()
    weight = Weights(graph, 3)
    x = graph.input("x", [window, batch] if time_major else [batch, window], TensorProto.INT64)
    x = graph.op("Transpose", x, perm=[1, 0]) if time_major else x
    embedded = graph.op("Transpose", graph.op("Gather", weight("embedding", VOCAB, WIDTH), x), perm=[0, 2, 1])
    inputs = [embedded, weight("kernel", 6, WIDTH, window), weight("kernel_bias", 6)]
    if fused:
        hidden = graph.op("FusedConv", *inputs, pads=[window - 1, 0], activation="Relu", domain="com.microsoft")
    else:
        hidden = graph.op("Relu", graph.op("Conv", *inputs, pads=[window - 1, 0]))
    steps = graph.op("Transpose", hidden, perm=[0, 2, 1])
    if last:
        steps = graph.squeeze(graph.slice(steps, 1, -1, window), 1)
    y = graph.op("Add", graph.op("MatMul", steps, weight("decoder", 6, VOCAB)), weight("bias", VOCAB))
    return finished(graph, y, [batch, VOCAB] if last else [batch, window, VOCAB])
