"""Graphs with inputs that applications always feed with one value, which the manifest says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from by_hand import LSTM, lowered
from case import Case
from graph import Name
from recurrent import Form
from unrecognised import Net


def cases() -> Iterator[Case]:
    yield given("lstm-keep-prob", scaled(), {"keep_prob": 1})
    yield given("lstm-temperature", scaled("Div", [1]), {"keep_prob": [1.0]})
    yield given("lstm-training", dropped(), {"training": False})
    yield given("lstm-length", with_length(6), {"length": 6})
    yield given("lstm-residual-keep-prob", residual_scaled(), {"keep_prob": 0.5, "training": False})
    # Without a value, with one that is another network, and with values that do not fit.
    unknown = [
        ("lstm-keep-prob-unsaid", scaled(), {}, "`onnx.inputs` has the value"),
        ("lstm-training-true", dropped(), {"training": True}, "it drops values, as in training"),
        ("lstm-length-too-short", with_length(6), {"length": [5]}, "its input `sequence_lens` is [5]"),
        ("lstm-given-nowhere", scaled(), {"dropout": 1}, "`onnx.inputs` names `dropout`, which is no input; found `x`"),
        ("lstm-given-null", scaled(), {"keep_prob": None}, "`onnx.inputs.keep_prob` is null"),
        ("lstm-given-text", scaled(), {"keep_prob": "1"}, "expected a number, true or false, or lists of them"),
        ("lstm-given-truth", scaled(), {"keep_prob": True}, "expected numbers"),
        ("lstm-given-number-for-truth", dropped(), {"training": 0}, "expected true or false"),
        ("lstm-given-fraction", with_length(6), {"length": 5.5}, "expected whole numbers of this type"),
        ("lstm-given-too-many", scaled("Div", [1]), {"keep_prob": [1, 1]}, "found the shape [2]"),
        ("lstm-given-ragged", scaled("Div", [1]), {"keep_prob": [[1], [1, 2]]}, "its lists have several lengths"),
        ("lstm-given-the-ids", scaled(), {"keep_prob": 1, "x": 0}, "expected an embedding or a layer"),
    ]
    for name, case, values, says in unknown:
        yield Case(name, case.model, "refused", says=says, hints={"inputs": list(values.items())}, oracle="none")
    case = scaled()
    hints = {"inputs": [("keep_prob", 1)], "tokens": "keep_prob"}
    yield Case("lstm-given-twice", case.model, "refused", says="which `onnx.tokens` names too", hints=hints, oracle="none")


def given(name: str, case: Case, values: dict) -> Case:
    return replace(case, name=name, hints={"inputs": list(values.items())})


def scaled(op: str = "Mul", shape: list[int] = []) -> Case:
    """The embedding times an input."""
    return on_embedding(helper.make_tensor_value_info("keep_prob", TensorProto.FLOAT, shape), op, ["keep_prob"])


def residual_scaled() -> Case:
    """A graph that tract runs, with an input that scales and one that switches a Dropout on."""

    def around(net: Net, k: int, value: Name, recur: Callable) -> Name:
        graph = net.graph
        keep_prob = graph.input("keep_prob", [])
        training = graph.input("training", [], TensorProto.BOOL)
        dropped = graph.op("Dropout", recur(value), graph.constant(0.5, dtype=np.float32), training)
        return graph.op("Add", value, graph.op("Mul", dropped, keep_prob))

    net = Net("LSTM", around=around)
    return Case("lstm-residual-scaled", net.model, "tract", ports=net.ports)


def dropped() -> Case:
    """A Dropout that an input switches on."""
    port = helper.make_tensor_value_info("training", TensorProto.BOOL, [])
    case = on_embedding(port, "Dropout", ["ratio", "training"])
    case.model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "ratio"))
    return case


def on_embedding(port, op: str, inputs: list[str]) -> Case:
    case = lowered("on-embedding", LSTM, Form())
    graph = case.model.graph
    at, gather = next((at, node) for at, node in enumerate(graph.node) if node.op_type == "Gather")
    output = gather.output[0]
    gather.output[0] = "embedded_before"
    graph.node.insert(at + 1, helper.make_node(op, ["embedded_before", *inputs], [output]))
    graph.input.append(port)
    return case


def with_length(length: int) -> Case:
    """The lengths of the rows as an input, for a fixed number of positions."""
    case = lowered("with-length", LSTM, Form(frozen=(length, 1)))
    node = next(node for node in case.model.graph.node if node.op_type == "LSTM")
    names = [*node.input, "", "", "", ""][:7]
    del node.input[:]
    node.input.extend([*names[:4], "length", *names[5:]])
    case.model.graph.input.append(helper.make_tensor_value_info("length", TensorProto.INT32, [1]))
    return case
