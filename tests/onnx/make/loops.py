"""Layers as loops over the positions, with the step of the cell written out: what exporters make of a layer that has no node of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from case import Case, Part, Ports
from graph import Graph, Name
from network import GATES, Network, Weights

LSTM, GRU = Network("lstm"), Network("gru")
GRU_BEFORE = Network("gru", reset_after=False)


@dataclass(frozen=True)
class Style:
    """How the loop is written."""

    op: str = "Loop"
    """`Loop`, which reads its input by the number of the step, or `Scan`."""
    joined: bool = False
    """Whether the input and h are multiplied together, as TensorFlow 1 does."""
    time_major: bool = True
    states: bool = True
    """Whether the state is an input and an output."""
    frozen: tuple[int | None, int | None] = (None, None)
    last: bool = False
    """Whether only the last position has logits, those of the loop's final h."""
    condition: bool = True
    """Whether the loop counts up to the length itself."""
    spoiled: str = ""
    """What is wrong with it."""


def cases() -> Iterator[Case]:
    for network in (LSTM, GRU, GRU_BEFORE, Network("rnn_tanh"), Network("rnn_relu"), Network("rnn_sigmoid")):
        for op in ("Loop", "Scan"):
            yield looped(f"{stem(network)}-{op.lower()}", network, Style(op))
    yield looped("lstm-2-loop-bt", Network("lstm", (5, 4)), Style(time_major=False))
    yield looped("gru-2-scan-lost", Network("gru", (5, 4)), Style("Scan", states=False))
    yield looped("lstm-loop-joined", LSTM, Style(joined=True))
    yield looped("lstm-scan-joined-no-bias", Network("lstm", bias="none"), Style("Scan", joined=True))
    yield looped("rnn_tanh-loop-joined", Network("rnn_tanh"), Style(joined=True))
    yield looped("lstm-loop-always", LSTM, Style(condition=False))
    yield looped("gru-loop-t1-b1", GRU, Style(frozen=(1, 1)))
    yield looped("lstm-loop-last", LSTM, Style(last=True, states=False))
    says = {
        "early": "node `loop0` (Loop): its condition may end it before the last position",
        "every-second": "node `loop0` (Loop)",
        "shorter": "(Less)",
        "another-cell": "its step is none of an RNN, a GRU or an LSTM",
        "c-of-before": "its step is none of an RNN, a GRU or an LSTM",
        "gate-of-tanh": "its step is none of an RNN, a GRU or an LSTM",
        "rows-mixed": "node `loop0` (Loop)",
    }
    for spoiled, message in says.items():
        model = build(LSTM, Style(spoiled=spoiled, states=False))
        yield Case(f"lstm-loop-{spoiled}", model, "refused", says=message, oracle="none")


def stem(network: Network) -> str:
    return network.cell if network.reset_after else "gru-lbr0"


def looped(name: str, network: Network, style: Style) -> Case:
    parts = [Part(f"{kind}{k}_in", f"{kind}{k}_out", kind, (k,), "BH") for k in range(network.layers) for kind in network.kinds]
    form = "last" if style.last else "steps"
    ports = Ports("x", "y", style.time_major, form=form, state=tuple(parts) if style.states else ())
    oracle = "file" if style.states and style.frozen == (None, None) else "twin"
    return Case(name, build(network, style), "lowered", network, ports, frozen=style.frozen, oracle=oracle)


def build(network: Network, style: Style) -> onnx.ModelProto:
    graph, weights = Graph(), network.weights()
    time, batch = style.frozen[0] or "T", style.frozen[1] or "B"
    order = [time, batch] if style.time_major else [batch, time]
    x = graph.op("Gather", graph.constant(weights["encoder.weight"], "embedding"), graph.input("x", order, TensorProto.INT64))
    h = x if style.time_major else graph.op("Transpose", x, perm=[1, 0, 2])
    length = graph.op("Gather", graph.op("Shape", h), graph.constant(0, dtype=np.int64))
    rows = graph.op("Slice", graph.op("Shape", h), *(graph.constant([at], dtype=np.int64) for at in (1, 2)))
    pending = []
    for k in range(network.layers):
        initial = []
        for kind in network.kinds:
            if style.states:
                initial.append(graph.input(f"{kind}{k}_in", [batch, network.width(kind, k)]))
            else:
                shape = graph.op("Concat", rows, graph.constant([network.width(kind, k)], dtype=np.int64), axis=0)
                initial.append(graph.op("ConstantOfShape", shape))
        whole, *finals = loop(graph, network, style, weights, k, h, length, initial)
        pending += [(final, f"{kind}{k}_out", network.width(kind, k)) for final, kind in zip(finals, network.kinds)]
        h = finals[0] if style.last else whole
    if not style.time_major and not style.last:
        h = graph.op("Transpose", h, perm=[1, 0, 2])
    y = graph.op("MatMul", h, graph.constant(np.ascontiguousarray(weights["decoder.weight"].T), "decoder"), name="decoder")
    y = graph.op("Add", y, graph.constant(weights["decoder.bias"], "decoder_bias"))
    graph.output(y, "y", [batch, network.vocab_size] if style.last else [*order, network.vocab_size])
    for name, to, width in pending if style.states else []:
        graph.output(name, to, [batch, width])
    return graph.model()


def loop(graph: Graph, network: Network, style: Style, weights: Weights, k: int, x: Name, length: Name, initial: list[Name]) -> list[Name]:
    """Adds the loop of a layer: h of every position, then what it carries after the last."""
    body = Body(network, style, weights, k)
    kinds = network.kinds
    state = {kind: f"{kind}{k}_before" for kind in kinds}
    vector = TensorProto.FLOAT
    shapes = {kind: ["rows", network.width(kind, k)] for kind in kinds}
    carried = [helper.make_tensor_value_info(state[kind], vector, shapes[kind]) for kind in kinds]
    if style.op == "Scan":
        after = body.step(f"x{k}_at", state)
        inputs = [*carried, helper.make_tensor_value_info(f"x{k}_at", vector, ["rows", body.width])]
        outputs = [helper.make_tensor_value_info(after[kind], vector, shapes[kind]) for kind in kinds]
        outputs.append(helper.make_tensor_value_info(body.same(after["h"]), vector, shapes["h"]))
        nested = helper.make_graph(body.nodes, f"body{k}", inputs, outputs, body.constants)
        names = [f"{kind}{k}_last" for kind in kinds] + [f"h{k}_all"]
        graph.ops("Scan", *initial, x, name=f"scan{k}", to=names, body=nested, num_scan_inputs=1)
        return [names[-1], *names[:-1]]
    i, condition = f"i{k}", f"condition{k}"
    inputs = [helper.make_tensor_value_info(i, TensorProto.INT64, []), helper.make_tensor_value_info(condition, TensorProto.BOOL, [])]
    if style.spoiled == "every-second":
        i = body.op("Add", i, i)
    body.op("Gather", x, i, to=f"x{k}_at", axis=1 if style.spoiled == "rows-mixed" else 0)
    after = body.step(f"x{k}_at", state)
    ahead = body.op("Add", f"i{k}", body.constant(2 if style.spoiled == "early" else 1, np.int64))
    goes_on = body.op("Less", ahead, length) if style.condition else body.same(condition)
    outputs = [helper.make_tensor_value_info(goes_on, TensorProto.BOOL, [])]
    outputs += [helper.make_tensor_value_info(after[kind], vector, shapes[kind]) for kind in kinds]
    outputs.append(helper.make_tensor_value_info(body.same(after["h"]), vector, shapes["h"]))
    nested = helper.make_graph(body.nodes, f"body{k}", [*inputs, *carried], outputs, body.constants)
    if style.spoiled == "shorter":
        length = graph.op("Sub", length, graph.constant(1, dtype=np.int64))
    start = graph.op("Less", graph.constant(0, dtype=np.int64), length) if style.condition else graph.constant(True)
    names = [f"{kind}{k}_last" for kind in kinds] + [f"h{k}_all"]
    graph.ops("Loop", length, start, *initial, name=f"loop{k}", to=names, body=nested)
    return [names[-1], *names[:-1]]


class Body:
    """The step of a layer, in the gates' order of PyTorch."""

    def __init__(self, network: Network, style: Style, weights: Weights, k: int) -> None:
        self.network, self.style, self.k = network, style, k
        self.hidden, self.gates = network.hidden_sizes[k], GATES[network.cell]
        self.width = network.embedding_size if k == 0 else network.width("h", k - 1)
        self.projection = weights.get(f"rnn.weight_hr_l{k}")
        self.w, self.r = weights[f"rnn.weight_ih_l{k}"].T, weights[f"rnn.weight_hh_l{k}"].T
        self.b_w, self.b_r = weights.get(f"rnn.bias_ih_l{k}"), weights.get(f"rnn.bias_hh_l{k}")
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: Name, to: Name | None = None, **attributes) -> Name:
        to = to or f"b{self.k}_{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [to], **attributes))
        return to

    def same(self, value: Name) -> Name:
        return self.op("Identity", value)

    def constant(self, values, dtype=np.float32) -> Name:
        name = f"b{self.k}_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(values, dtype)), name))
        return name

    def affine(self, value: Name, matrix: np.ndarray, bias: np.ndarray | None) -> Name:
        product = self.op("MatMul", value, self.constant(matrix))
        return product if bias is None else self.op("Add", product, self.constant(bias))

    def split(self, value: Name, parts: int) -> list[Name]:
        names = [f"b{self.k}_part_{len(self.nodes)}_{i}" for i in range(parts)]
        self.nodes.append(helper.make_node("Split", [value, self.constant([self.hidden] * parts, np.int64)], names, axis=-1))
        return names

    def sums(self, x: Name, h: Name) -> Name:
        """All gates' sums."""
        if self.style.joined:
            bias = None if self.b_w is None else self.b_w + self.b_r
            return self.affine(self.op("Concat", x, h, axis=1), np.concatenate([self.w, self.r]), bias)
        return self.op("Add", self.affine(x, self.w, self.b_w), self.affine(h, self.r, self.b_r))

    def gate(self, value: Name) -> Name:
        if self.network.gates == "sigmoid":
            return self.op("Sigmoid", value)
        if self.style.op == "Scan":
            return self.op("HardSigmoid", value, alpha=self.network.slope, beta=0.5)
        scaled = self.op("Mul", value, self.constant(self.network.slope))
        return self.op("Clip", self.op("Add", scaled, self.constant(0.5)), self.constant(0.0), self.constant(1.0))

    def step(self, x: Name, state: dict[str, Name]) -> dict[str, Name]:
        if self.network.cell == "lstm":
            return self.lstm(x, state["h"], state["c"])
        if self.network.cell == "gru":
            return {"h": self.gru(x, state["h"])}
        kind = {"rnn_tanh": "Tanh", "rnn_relu": "Relu", "rnn_sigmoid": "Sigmoid"}[self.network.cell]
        return {"h": self.op(kind, self.sums(x, state["h"]))}

    def lstm(self, x: Name, h: Name, c: Name) -> dict[str, Name]:
        spoiled = self.style.spoiled
        i, f, g, o = self.split(self.sums(x, h), 4)
        i, f, o = (self.op("Tanh", part) if spoiled == "gate-of-tanh" and part == f else self.gate(part) for part in (i, f, o))
        new = self.op("Mul", i, self.op("Tanh", g))
        after = self.op("Sub" if spoiled == "another-cell" else "Add", self.op("Mul", c, f), new)
        if spoiled == "another-cell":
            after = self.op("Add", self.op("Mul", f, f), new)
        output = self.op("Mul", self.op("Tanh", c if spoiled == "c-of-before" else after), o)
        if self.projection is not None:
            bias = np.full(len(self.projection), 0.1) if spoiled == "biased-projection" else None
            output = self.affine(output, self.projection.T, bias)
        return {"h": output, "c": after}

    def gru(self, x: Name, h: Name) -> Name:
        n = self.hidden
        if self.network.reset_after:
            r_x, z_x, n_x = self.split(self.affine(x, self.w, self.b_w), 3)
            r_h, z_h, n_h = self.split(self.affine(h, self.r, self.b_r), 3)
            r, z = (self.gate(self.op("Add", a, b)) for a, b in ((r_x, r_h), (z_x, z_h)))
            candidate = self.op("Tanh", self.op("Add", n_x, self.op("Mul", r, n_h)))
        else:
            columns = slice(0, 2 * n), slice(2 * n, 3 * n)
            parts = [
                (self.affine(x, self.w[:, part], self.b_w[part]), self.r[:, part], self.b_r[part]) for part in columns
            ]
            both = self.op("Add", parts[0][0], self.affine(h, *parts[0][1:]))
            r, z = (self.gate(part) for part in self.split(both, 2))
            share = self.affine(self.op("Mul", r, h), *parts[1][1:])
            candidate = self.op("Tanh", self.op("Add", parts[1][0], share))
        rest = self.op("Sub", self.constant(1.0), z)
        return self.op("Add", self.op("Mul", rest, candidate), self.op("Mul", z, h))
