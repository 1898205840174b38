"""Recurrent networks with more around them: affine layers below the first layer, output layers in two steps, bounded ids, tokens that
never come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from by_hand import LSTM, LSTM_2, lowered
from case import Case
from graph import Graph, Name
from network import Network
from recurrent import Form
from unrecognised import HIDDEN, VOCAB, WIDTH, Net


def cases() -> Iterator[Case]:
    yield layered("lstm-projected", Net("LSTM", around=projected))
    yield layered("gru-projected-bt", Net("GRU", around=projected, time_major=False, layers=2))
    yield layered("lstm-projected-tanh", Net("LSTM", around=squashed))
    yield layered("rnn-projected-twice", Net("RNN", around=twice))
    yield from heads()
    yield from bounded_ids()
    yield from ruled_out()


def layered(name: str, net: Net) -> Case:
    return Case(name, net.model, "lowered", ports=net.ports)


def affine(net: Net, name: str, value: Name) -> Name:
    graph: Graph = net.graph
    return graph.op("Add", graph.op("MatMul", value, net.weight(name, WIDTH, HIDDEN)), net.weight(f"{name}_bias", HIDDEN))


def projected(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return recur(affine(net, "projection", value) if k == 0 else value)


def squashed(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return recur(net.graph.op("Tanh", affine(net, "projection", value)))


def twice(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return recur(affine(net, "second", net.graph.op("Relu", affine(net, "first", value))))


def heads() -> Iterator[Case]:
    """Output layers in two steps, and such that read the last layer's state: `h[-1]`."""
    for bias in (True, False):
        case = lowered(f"lstm-head-of-two-layers{'' if bias else '-no-bias'}", LSTM, Form())
        decoder = next(node for node in case.model.graph.node if node.name == "decoder")
        random = np.random.default_rng(9)
        for name, shape in (("inner", (5, 5)), ("inner_bias", (5,))):
            values = random.uniform(-1, 1, shape).astype(np.float32)
            case.model.graph.initializer.append(numpy_helper.from_array(values, name))
        at = list(case.model.graph.node).index(decoder)
        inner = [helper.make_node("MatMul", [decoder.input[0], "inner"], ["inner_product"], name="inner")]
        inner += [helper.make_node("Add", ["inner_product", "inner_bias"], ["inner_sum"])] if bias else []
        decoder.input[0] = inner[-1].output[0]
        for node in reversed(inner):
            case.model.graph.node.insert(at, node)
        yield replace(case, network=None)
    for network in (LSTM, LSTM_2, Network("gru", (5, 5))):
        for form in ("gather", "slice"):
            case = lowered(f"{network.cell}-{network.layers}-head-on-h-{form}", network, Form(positions="hidden"))
            yield last_of(case, network.layers, form)


def last_of(case: Case, layers: int, form: str) -> Case:
    """Reads h of the last layer out of the tensor with all of them."""
    graph = case.model.graph
    squeeze = next(node for node in graph.node if node.op_type == "Squeeze" and node.input[0] == f"Y_h{layers - 1}")
    stack = next((node.output[0] for node in graph.node if node.op_type == "Concat"), f"Y_h{layers - 1}")
    graph.node.remove(squeeze)
    numbers = {"last": np.array(-1), "start": np.array([-1]), "end": np.array([2**63 - 1]), "zero": np.array([0])}
    graph.initializer.extend(numpy_helper.from_array(value, f"h_{name}") for name, value in numbers.items())
    if form == "gather":
        nodes = [helper.make_node("Gather", [stack, "h_last"], squeeze.output, axis=0)]
    else:
        nodes = [helper.make_node("Slice", [stack, "h_start", "h_end", "h_zero"], ["h_sliced"])]
        nodes.append(helper.make_node("Squeeze", ["h_sliced", "h_zero"], squeeze.output))
    concat = next((at for at, node in enumerate(graph.node) if node.op_type == "Concat"), None)
    at = concat if concat is not None else list(graph.node).index(next(n for n in graph.node if n.op_type in ("LSTM", "GRU")))
    moved = list(graph.node)
    if concat is not None:
        # The decoder reads what the Concat gives, so the Concat comes first.
        joined = moved.pop(concat)
        at = max(i for i, node in enumerate(moved) if node.op_type in ("LSTM", "GRU"))
        moved.insert(at + 1, joined)
        at += 1
    moved[at + 1 : at + 1] = nodes
    del graph.node[:]
    graph.node.extend(moved)
    return case


def bounded_ids() -> Iterator[Case]:
    """Ids that the graph keeps within its vocabulary."""
    top = np.array(10)
    yield on_ids("lstm-ids-clipped", [("Clip", ["x", "zero", "top"], {})], {"zero": np.array(0), "top": top})
    yield on_ids("lstm-ids-at-most", [("Min", ["x", "top"], {})], {"top": top})
    replaced = [("Less", ["x", "size"], {}), ("Where", [0, "x", "unknown"], {})]
    yield on_ids("lstm-ids-replaced", replaced, {"size": np.array(11), "unknown": np.array(1)})
    replaced = [("Greater", ["x", "top"], {}), ("Where", [0, "unknown", "x"], {})]
    yield on_ids("lstm-ids-replaced-above", replaced, {"top": top, "unknown": np.array(0)})
    case = on_ids("lstm-ids-clipped-too-low", [("Clip", ["x", "zero", "top"], {})], {"zero": np.array(0), "top": np.array(8)})
    yield Case(case.name, case.model, "tract", ports=case.ports)


def on_ids(name: str, steps: list, constants: dict) -> Case:
    case = lowered(name, LSTM, Form())
    graph = case.model.graph
    graph.initializer.extend(numpy_helper.from_array(value.astype(np.int64), key) for key, value in constants.items())
    gather = next(node for node in graph.node if node.op_type == "Gather")
    for at, (op, inputs, attributes) in enumerate(steps):
        inputs = [f"ids_{value}" if isinstance(value, int) else value for value in inputs]
        graph.node.insert(at, helper.make_node(op, inputs, [f"ids_{at}"], **attributes))
    gather.input[1] = f"ids_{len(steps) - 1}"
    return case


def ruled_out() -> Iterator[Case]:
    """Tokens that never come: their bias in the output layer is negative infinity."""
    mask = np.zeros(VOCAB, np.float32)
    mask[[0, 7]] = -np.inf
    for name, values in (("lstm-ruled-out", None), ("lstm-ruled-out-log", "LogSoftmax")):
        net = Net("LSTM", around=plain, values=values)
        yield Case(name, biased(net.model, mask), "lowered", ports=net.ports)
    added = Net("GRU", around=plain, finish=lambda net, y: net.graph.op("Add", y, net.graph.constant(mask, "mask")))
    yield Case("gru-ruled-out-by-a-mask", added.model, "lowered", ports=added.ports)
    refused = [
        ("lstm-ruled-out-all", -np.inf, slice(None), "every value is -inf"),
        ("lstm-bias-nan", np.nan, 3, "tensor `bias` has the value NaN"),
        ("lstm-bias-infinite", np.inf, 3, "tensor `bias` has the value inf"),
    ]
    for name, value, where, says in refused:
        net = Net("LSTM", around=plain)
        bias = np.zeros(VOCAB, np.float32)
        bias[where] = value
        yield Case(name, biased(net.model, bias), "refused", says=says, oracle="none")


def plain(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return recur(value)


def biased(model: onnx.ModelProto, change: np.ndarray) -> onnx.ModelProto:
    """With a change added to the bias of the output layer."""
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(bias) + change).astype(np.float32), "bias"))
    return model
