"""Safe graphs that are not a network of the native engine and expose their state. tract runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto

from case import Case, Part, Ports
from graph import Graph, Name

VOCAB, WIDTH, HIDDEN = 11, 5, 5


def cases() -> Iterator[Case]:
    yield tract("lstm-residual", Net("LSTM", around=residual))
    yield tract("lstm-residual-bt", Net("LSTM", around=residual, time_major=False))
    yield tract("gru-residual", Net("GRU", around=residual))
    yield tract("gru-lbr0-residual", Net("GRU", around=residual, linear_before_reset=0))
    yield tract("rnn-tanh-residual", Net("RNN", around=residual))
    yield tract("lstm-residual-log", Net("LSTM", around=residual, values="LogSoftmax"))
    yield tract("lstm-residual-probabilities", Net("LSTM", around=residual, values="Softmax"))
    yield tract("lstm-residual-2", Net("LSTM", around=residual, layers=2))
    yield tract("gru-residual-3", Net("GRU", around=residual, layers=3))
    yield tract("lstm-highway", Net("LSTM", around=highway))
    yield tract("gru-tanh-between", Net("GRU", around=squashed, layers=2))
    yield tract("lstm-flat-states", Net("LSTM", around=residual, layers=2, states="BH"))
    yield tract("lstm-int32", Net("LSTM", around=residual, ids=TensorProto.INT32))
    yield tract("lstm-float-ids", Net("LSTM", around=residual, ids=TensorProto.FLOAT))
    yield tract("lstm-opset11", Net("LSTM", around=residual, opset=11))
    yield tract("gru-opset9", Net("GRU", around=residual, opset=9))
    yield tract("lstm-then-gru", mixed())
    yield tract("elman-step", elman_step(), frozen_t1=True)
    yield tract("elman-step-without-time", elman_step(time_axis=False), frozen_t1=True)
    yield tract("minimal-gated-unit", minimal_gated_unit(), frozen_t1=True)
    yield tract("lstm-weights-of-nodes", Net("LSTM", around=weights_of_nodes))
    yield from named()


class Net:
    """Embedding, layers with something added around each, affine layer."""

    def __init__(
        self,
        op: str,
        around: Callable,
        layers: int = 1,
        time_major: bool = True,
        states: str = "LBH",
        values: str | None = None,
        ids: int = TensorProto.INT64,
        opset: int = 17,
        linear_before_reset: int = 1,
        names: Callable[[str, int], tuple[str, str]] | None = None,
        frozen: tuple[int | None, int | None] = (None, None),
        vocab: int = VOCAB,
        finish: Callable[[Net, Name], Name] | None = None,
    ) -> None:
        self.op, self.layers, self.time_major, self.states = op, layers, time_major, states
        self.graph = graph = Graph(opset)
        self.weight = Weights(graph, 40 + layers)
        self.kinds = "hc" if op == "LSTM" else "h"
        self.names = names or (lambda kind, k: (f"{kind}{k}_in", f"{kind}{k}_out"))
        time, self.batch = frozen[0] or "T", frozen[1] or "B"
        order = [time, self.batch] if time_major else [self.batch, time]
        x = graph.input("x", order, ids)
        if ids == TensorProto.FLOAT:
            graph.nodes.append(onnx.helper.make_node("Cast", ["x"], ["x_int"], to=TensorProto.INT64))
            x = "x_int"
        h = graph.op("Gather", self.weight("embedding", VOCAB, WIDTH), x)
        if not time_major:
            h = graph.op("Transpose", h, perm=[1, 0, 2])
        pending = []
        for k in range(layers):
            attributes = {"linear_before_reset": linear_before_reset} if op == "GRU" else {}
            h = around(self, k, h, lambda value: self.recur(k, value, pending, attributes))
        if not time_major:
            h = graph.op("Transpose", h, perm=[1, 0, 2])
        y = graph.op("Add", graph.op("MatMul", h, self.weight("decoder", HIDDEN, vocab)), self.weight("bias", vocab))
        y = graph.op(values, y, axis=2 if opset < 11 else -1) if values else y
        y = finish(self, y) if finish else y
        graph.output(y, "y", [*order, vocab])
        for name, to in pending:
            graph.output(name, to, [self.batch, HIDDEN] if states == "BH" else [1, self.batch, HIDDEN])
        kinds = {None: "logits", "LogSoftmax": "log", "Softmax": "probabilities"}
        parts = tuple(Part(*self.names(kind, k), kind, (k,), states) for k in range(layers) for kind in self.kinds)
        dtype = {TensorProto.INT64: np.int64, TensorProto.INT32: np.int32, TensorProto.FLOAT: np.float32}[ids]
        self.ports = Ports("x", "y", time_major, dtype, kinds[values], state=parts)

    def recur(self, k: int, value: Name, pending: list, attributes: dict) -> Name:
        """Adds a recurrent layer: `[T, B, H]` from `[T, B, E]`."""
        graph, gates = self.graph, {"RNN": 1, "GRU": 3, "LSTM": 4}[self.op]
        weights = [self.weight(f"W{k}", 1, gates * HIDDEN, WIDTH), self.weight(f"R{k}", 1, gates * HIDDEN, HIDDEN)]
        weights.append(self.weight(f"B{k}", 1, 2 * gates * HIDDEN))
        flat = self.states == "BH"
        initial = []
        for kind in self.kinds:
            name = graph.input(self.names(kind, k)[0], [self.batch, HIDDEN] if flat else [1, self.batch, HIDDEN])
            initial.append(graph.unsqueeze(name, 0) if flat else name)
        to = [f"Y{k}"] + [f"Y_{kind}{k}" for kind in self.kinds]
        graph.ops(self.op, value, *weights, "", *initial, name=f"layer{k}", to=to, hidden_size=HIDDEN, **attributes)
        for kind, name in zip(self.kinds, to[1:]):
            pending.append((graph.squeeze(name, 0) if flat else name, self.names(kind, k)[1]))
        return graph.squeeze(to[0], 1)

    @property
    def model(self) -> onnx.ModelProto:
        return self.graph.model()


class Weights:
    def __init__(self, graph: Graph, seed: int) -> None:
        self.graph, self.random = graph, np.random.default_rng(seed)

    def __call__(self, name: Name, *shape: int) -> Name:
        return self.graph.constant(self.random.uniform(-0.7, 0.7, shape), name, np.float32)


def residual(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return net.graph.op("Add", value, recur(value), name=f"residual{k}")


def weights_of_nodes(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """A matrix and a bias that nodes put together: joined, cut, turned, cast from half precision and dequantised."""
    graph = net.graph
    halves = [graph.constant(net.weight.random.uniform(-0.7, 0.7, (3, WIDTH)).astype(np.float16), f"half{at}") for at in range(2)]
    joined = graph.cast(graph.op("Concat", *halves, axis=0), TensorProto.FLOAT)
    turned = graph.op("Transpose", graph.slice(joined, 0, 1, 6), perm=[1, 0])
    integers = graph.constant(net.weight.random.integers(-127, 128, HIDDEN).astype(np.int8), "bias_integers")
    bias = graph.op("DequantizeLinear", integers, graph.constant(0.01, dtype=np.float32))
    product = graph.op("MatMul", recur(value), turned, name="between")
    return graph.op("Add", value, graph.op("Add", product, bias))


def squashed(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return net.graph.op("Tanh", recur(value), name=f"tanh{k}")


def highway(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """A gate between h and the input of the layer (Srivastava et al. 2015)."""
    graph = net.graph
    product = graph.op("MatMul", value, net.weight("gate", WIDTH, WIDTH))
    gate = graph.op("Sigmoid", graph.op("Add", product, net.weight("gate_bias", WIDTH)))
    return graph.op("Add", value, graph.op("Mul", gate, graph.op("Sub", recur(value), value)))


class Plain:
    def __init__(self, model: onnx.ModelProto, ports: Ports) -> None:
        self.model, self.ports = model, ports


def tract(name: str, net: Net | Plain, frozen_t1: bool = False, hints: dict | None = None) -> Case:
    oracle = "steps" if frozen_t1 else "file"
    return Case(name, net.model, "tract", ports=net.ports, oracle=oracle, hints=hints or {})


def mixed() -> Plain:
    """An LSTM below a GRU: each layer is known, but not the stack."""
    graph = Graph()
    weight = Weights(graph, 5)
    x = graph.input("x", ["T", "B"], TensorProto.INT64)
    h = graph.op("Gather", weight("embedding", VOCAB, WIDTH), x)
    outs = []
    for op, gates, kinds in (("LSTM", 4, "hc"), ("GRU", 3, "h")):
        weights = [weight(f"{op}_W", 1, gates * HIDDEN, WIDTH), weight(f"{op}_R", 1, gates * HIDDEN, HIDDEN)]
        weights.append(weight(f"{op}_B", 1, 2 * gates * HIDDEN))
        initial = [graph.input(f"{op}_{kind}", [1, "B", HIDDEN]) for kind in kinds]
        to = [f"{op}_Y"] + [f"{op}_Y_{kind}" for kind in kinds]
        attributes = {"linear_before_reset": 1} if op == "GRU" else {}
        graph.ops(op, h, *weights, "", *initial, name=op.lower(), to=to, hidden_size=HIDDEN, **attributes)
        outs += [(name, f"{op}_{kind}_next") for name, kind in zip(to[1:], kinds)]
        h = graph.squeeze(to[0], 1)
    graph.output(graph.op("MatMul", h, weight("decoder", HIDDEN, VOCAB)), "y", ["T", "B", VOCAB])
    for name, to in outs:
        graph.output(name, to, [1, "B", HIDDEN])
    parts = (Part("LSTM_h", "LSTM_h_next"), Part("LSTM_c", "LSTM_c_next", "c"), Part("GRU_h", "GRU_h_next", "h", (1,)))
    return Plain(graph.model(), Ports("x", "y", state=parts))


def elman_step(time_axis: bool = True, batch: int | str = "B", fused: bool = False) -> Plain:
    """One step made of elementary operators, as a char-rnn is exported for a web page; or its product and tanh fused."""
    graph = Graph()
    weight = Weights(graph, 6)
    x = graph.input("x", [batch, 1] if time_axis else [batch], TensorProto.INT64)
    h = graph.input("h", [batch, HIDDEN])
    embedded = graph.op("Gather", weight("embedding", VOCAB, WIDTH), x)
    embedded = graph.squeeze(embedded, 1) if time_axis else embedded
    both = graph.op("Concat", embedded, h, axis=1)
    product = [both, weight("cell", WIDTH + HIDDEN, HIDDEN), weight("cell_bias", HIDDEN)]
    if fused:
        after = graph.op("FusedGemm", *product, activation="Tanh", domain="com.microsoft")
    else:
        after = graph.op("Tanh", graph.op("Gemm", *product))
    y = graph.op("Gemm", after, weight("decoder", HIDDEN, VOCAB), weight("bias", VOCAB))
    graph.output(y, "y", [batch, VOCAB])
    graph.output(after, "h_next", [batch, HIDDEN])
    state = (Part("h", "h_next", form="BH"),)
    return Plain(graph.model(), Ports("x", "y", False, form="last", state=state, time_axis=time_axis))


def minimal_gated_unit() -> Plain:
    """A cell for which there is no operator (Zhou et al. 2016)."""
    graph = Graph()
    weight = Weights(graph, 7)
    x = graph.input("x", [1, "B"], TensorProto.INT64)
    h = graph.input("h", [1, "B", HIDDEN])
    embedded = graph.op("Gather", weight("embedding", VOCAB, WIDTH), x)

    def affine(name: str, hidden: Name) -> Name:
        own = graph.op("MatMul", embedded, weight(f"{name}_W", WIDTH, HIDDEN))
        other = graph.op("MatMul", hidden, weight(f"{name}_R", HIDDEN, HIDDEN))
        return graph.op("Add", graph.op("Add", own, other), weight(f"{name}_b", HIDDEN))

    gate = graph.op("Sigmoid", affine("gate", h))
    candidate = graph.op("Tanh", affine("candidate", graph.op("Mul", gate, h)))
    after = graph.op("Add", h, graph.op("Mul", gate, graph.op("Sub", candidate, h)))
    graph.output(graph.op("MatMul", after, weight("decoder", HIDDEN, VOCAB)), "y", [1, "B", VOCAB])
    graph.output(after, "h_next", [1, "B", HIDDEN])
    return Plain(graph.model(), Ports("x", "y", state=(Part("h", "h_next"),)))


def named() -> Iterator[Case]:
    """Names that say nothing, or the wrong thing, so that the manifest has to say which is which."""

    def net_of(**names: tuple[str, str]) -> Net:
        return Net("LSTM", around=residual, names=lambda kind, k: names[kind])

    net = net_of(h=("a", "q"), c=("b", "p"))
    hints = {"state": [["a", "q"], ["b", "p"]], "tokens": "x", "logits": "y"}
    yield tract("lstm-named-in-the-manifest", net, hints=hints)
    yield tract("lstm-named-by-order", net_of(h=("1", "7"), c=("2", "8")))
    net = Net("LSTM", around=residual, layers=2, names=lambda kind, k: (f"{kind}{k}", f"next_{kind}{k}"))
    yield tract("lstm-next-names", net)
    yield tract("lstm-frozen-t1-b1", Net("LSTM", around=residual, frozen=(1, 1)), frozen_t1=True)
