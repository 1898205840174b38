"""Layers whose steps are written out one after the other for a fixed length, as `unroll=True` in Keras and loops over a cell are exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from case import Case, Part, Ports
from graph import Graph, Name
from loops import GRU, GRU_BEFORE, LSTM, Body, Style, stem
from network import Network

LENGTH = 4


@dataclass(frozen=True)
class Form:
    """How the steps are written."""

    per_step: bool = False
    """Whether all layers and the output layer run at each position, before the next."""
    joined: bool = False
    """Whether the input and h are multiplied together."""
    shared: bool = True
    """Whether the steps share their weights, and do not have copies of them."""
    states: str = "inputs"
    """`inputs`, or `zeros`, and `folded` where the products with zeros were taken out."""
    last: bool = False
    """Whether only the last position has logits."""
    select: str = "gather"
    """How a position is selected: `gather`, `split`, or the `ids` of the position before the embedding."""
    length: int = LENGTH
    spoiled: str = ""
    """What is wrong with it."""


def cases() -> Iterator[Case]:
    for network in (LSTM, GRU, GRU_BEFORE, Network("rnn_tanh"), Network("rnn_relu"), Network("rnn_sigmoid")):
        yield unrolled(f"{stem(network)}-unrolled", network, Form())
    two, three = Network("lstm", (5, 4)), Network("gru", (5, 4, 3))
    yield unrolled("lstm-2-unrolled", two, Form(select="split"))
    yield unrolled("lstm-2-unrolled-per-step", two, Form(per_step=True, select="ids"))
    yield unrolled("gru-3-unrolled-per-step", three, Form(per_step=True))
    yield unrolled("rnn_tanh-2-unrolled-per-step", Network("rnn_tanh", (5, 4)), Form(per_step=True))
    yield unrolled("lstm-unrolled-joined", LSTM, Form(joined=True))
    yield unrolled("lstm-unrolled-copies", LSTM, Form(shared=False))
    yield unrolled("lstm-unrolled-zeros", LSTM, Form(states="zeros"))
    yield unrolled("gru-2-unrolled-zeros", Network("gru", (5, 4)), Form(states="zeros", select="split"))
    yield unrolled("gru-lbr0-unrolled-zeros-last", GRU_BEFORE, Form(states="zeros", last=True))
    yield unrolled("lstm-2-unrolled-zeros-last", two, Form(states="zeros", last=True, per_step=True))
    yield unrolled("lstm-unrolled-1", LSTM, Form(length=1))
    yield unrolled("gru-2-unrolled-1", Network("gru", (5, 4)), Form(length=1))
    yield unrolled("lstm-unrolled-hard-sigmoid", Network("lstm", gates="hard_sigmoid"), Form())
    says = {
        "weights": "(Tanh): the step at position 1, which ends in node",
        "operator": "the step at position 1, which ends in node",
        "position-twice": "it computes with positions",
        "backwards": "(Add)",
        "older-state": "it computes with positions 0 and 2",
        "not-the-last": "it uses h of position 2, and not of every position",
    }
    for spoiled, message in says.items():
        model = build(Network("rnn_tanh"), Form(spoiled=spoiled))
        yield Case(f"rnn_tanh-unrolled-{spoiled}", model, "refused", says=message.removeprefix("(Tanh): "), oracle="none")


def unrolled(name: str, network: Network, form: Form) -> Case:
    parts = [Part(f"{kind}{k}_in", f"{kind}{k}_out", kind, (k,), "BH") for k in range(network.layers) for kind in network.kinds]
    states = tuple(parts) if form.states == "inputs" else ()
    ports = Ports("x", "y", form="last" if form.last else "steps", state=states)
    return Case(name, build(network, form), "lowered", network, ports, frozen=(form.length, None), oracle="twin")


class Steps(Body):
    """The steps of one layer, whose constants are shared or not."""

    def __init__(self, network: Network, form: Form, graph: Graph, k: int) -> None:
        super().__init__(network, Style(joined=form.joined), network.weights(), k)
        self.form, self.graph = form, graph
        self.known: dict[tuple, Name] = {}

    def constant(self, values, dtype=np.float32) -> Name:
        array = np.ascontiguousarray(np.asarray(values, dtype))
        key = (array.tobytes(), array.shape, str(array.dtype))
        if key not in self.known or not self.form.shared:
            self.known[key] = super().constant(values, dtype)
        return self.known[key]

    def at(self, x: Name, state: dict[str, Name], position: int) -> dict[str, Name]:
        """Adds the step at a position to the graph."""
        r, nodes = self.r, len(self.nodes)
        if self.form.spoiled == "weights" and position == 1:
            self.r = self.r * np.float32(1.5)
        after = self.step(x, state)
        self.r = r
        if self.form.spoiled == "operator" and position == 1:
            self.nodes[-1].op_type = "Relu"
        self.graph.nodes.extend(self.nodes[nodes:])
        return after


def build(network: Network, form: Form) -> onnx.ModelProto:
    graph, weights = Graph(), network.weights()
    table = graph.constant(weights["encoder.weight"], "embedding")
    x = graph.input("x", [form.length, "B"], TensorProto.INT64)
    layers = [Steps(network, form, graph, k) for k in range(network.layers)]
    state = [start(graph, network, form, x, k) for k in range(network.layers)]
    read = positions(graph, form, table, x)
    if form.per_step:
        outputs = []
        for t in range(form.length):
            value = read[t]
            for k, layer in enumerate(layers):
                state[k] = layer.at(value, state[k], t)
                value = state[k]["h"]
            if t == form.length - 1 or not form.last:
                outputs.append(decoder(graph, weights, value))
        y = outputs[0] if form.last else stacked(graph, outputs)
    else:
        for k, layer in enumerate(layers):
            after, before = [], [state[k]]
            for t in range(form.length):
                older = before[-2] if form.spoiled == "older-state" and t == 2 else before[-1]
                before.append(layer.at(read[t], older, t))
                after.append(before[-1]["h"])
            state[k] = before[-1]
            read = after
            if k + 1 < network.layers:
                whole = stacked(graph, after)
                read = split(graph, whole, form.length) if form.select == "split" else after
        y = decoder(graph, weights, after[2 if form.spoiled == "not-the-last" else -1] if form.last or form.spoiled == "not-the-last" else stacked(graph, after))
    one = form.last or form.spoiled == "not-the-last"
    graph.output(y, "y", ["B", network.vocab_size] if one else [form.length, "B", network.vocab_size])
    for k, hidden in enumerate(network.hidden_sizes if form.states == "inputs" else ()):
        for kind in network.kinds:
            graph.output(state[k][kind], f"{kind}{k}_out", ["B", hidden])
    for layer in layers:
        graph.initializers.extend(layer.constants)
    return graph.model()


def start(graph: Graph, network: Network, form: Form, x: Name, k: int) -> dict[str, Name]:
    hidden = network.hidden_sizes[k]
    if form.states == "inputs":
        return {kind: graph.input(f"{kind}{k}_in", ["B", hidden]) for kind in network.kinds}
    rows = graph.op("Slice", graph.op("Shape", x), *(graph.constant([at], dtype=np.int64) for at in (1, 2)))
    shape = graph.op("Concat", rows, graph.constant([hidden], dtype=np.int64), axis=0)
    zeros = graph.op("ConstantOfShape", shape)
    return {kind: zeros for kind in network.kinds}


def positions(graph: Graph, form: Form, table: Name, x: Name) -> list[Name]:
    """What the first layer reads at each position."""
    order = list(range(form.length))
    if form.spoiled == "position-twice":
        order[2] = 1
    if form.spoiled == "backwards":
        order.reverse()
    if form.select == "ids":
        ids = (graph.op("Gather", x, graph.constant(t, dtype=np.int64)) for t in order)
        return [graph.op("Gather", table, one) for one in ids]
    embedded = graph.op("Gather", table, x)
    if form.select == "split":
        return split(graph, embedded, form.length)
    return [graph.op("Gather", embedded, graph.constant(t, dtype=np.int64)) for t in order]


def split(graph: Graph, value: Name, length: int) -> list[Name]:
    return [graph.squeeze(part, 0) for part in graph.split(value, 0, [1] * length)]


def stacked(graph: Graph, steps: list[Name]) -> Name:
    return graph.op("Concat", *(graph.unsqueeze(step, 0) for step in steps), axis=0)


def decoder(graph: Graph, weights: dict, value: Name) -> Name:
    names = {tensor.name for tensor in graph.initializers}
    if "decoder" not in names:
        graph.constant(np.ascontiguousarray(weights["decoder.weight"].T), "decoder")
        graph.constant(weights["decoder.bias"], "decoder_bias")
    return graph.op("Add", graph.op("MatMul", value, "decoder"), "decoder_bias")
