"""The same networks with other glue: inputs and outputs in any order, ids and states of unusual types, nodes without effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions

from by_hand import lowered
from case import Case, Part
from network import Network
from recurrent import Form, build

LSTM, LSTM_2, GRU = Network("lstm"), Network("lstm", (5, 5)), Network("gru")


def cases() -> Iterator[Case]:
    yield from ports()
    yield from ids_and_values()
    yield from states()
    yield from keras_2()
    yield from functions()


def ports() -> Iterator[Case]:
    case = lowered("lstm-ports-reversed", LSTM_2, Form())
    for list_of_ports in (case.model.graph.input, case.model.graph.output):
        reordered = list(reversed(list_of_ports))
        del list_of_ports[:]
        list_of_ports.extend(reordered)
    yield case
    case = lowered("gru-unused-input", GRU, Form())
    case.model.graph.input.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["T", "B"]))
    yield replace(case, oracle="twin", runtime="none")
    case = lowered("lstm-features-too", LSTM, Form())
    case.model.graph.output.append(helper.make_tensor_value_info("Y0", TensorProto.FLOAT, None))
    yield case
    yield renamed(lowered("lstm-numbers-for-names", LSTM_2, Form(state="layers")))
    case = lowered("lstm-nodes-without-names", LSTM_2, Form())
    for node in case.model.graph.node:
        node.name = ""
    yield case
    case = lowered("gru-shapes-unknown", GRU, Form())
    for port in [*case.model.graph.input, *case.model.graph.output]:
        port.type.tensor_type.ClearField("shape")
    yield replace(case, outcome="refused", says="no shape", oracle="none", network=None)
    case = lowered("lstm-nodes-out-of-order", LSTM, Form())
    nodes = list(reversed(case.model.graph.node))
    del case.model.graph.node[:]
    case.model.graph.node.extend(nodes)
    yield replace(case, oracle="twin", runtime="none")


def renamed(case: Case) -> Case:
    """Gives every value a number for a name, as exporters without names do."""
    graph, numbers = case.model.graph, {}

    def number(name: str) -> str:
        return numbers.setdefault(name, str(len(numbers))) if name else ""

    for thing in [*graph.input, *graph.initializer]:
        thing.name = number(thing.name)
    for node in graph.node:
        node.name = ""
        node.input[:] = [number(name) for name in node.input]
        node.output[:] = [number(name) for name in node.output]
    for port in graph.output:
        port.name = number(port.name)
    parts = tuple(replace(part, input=number(part.input), output=number(part.output)) for part in case.ports.state)
    case.ports = replace(case.ports, tokens=number("x"), logits=number("y"), state=parts)
    return case


def ids_and_values() -> Iterator[Case]:
    # Ids are transposed inside the graph, before the lookup.
    case = lowered("lstm-ids-transposed", LSTM, Form())
    graph = case.model.graph
    gather = next(node for node in graph.node if node.op_type == "Gather")
    graph.node.insert(0, helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]))
    gather.input[1] = "turned"
    case.model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.INT64, ["B", "T"]))
    case.ports = replace(case.ports, tokens_turned=True)
    yield case
    case = lowered("lstm-log-of-softmax", LSTM, Form(values="probabilities"))
    yield replace(after_output(case, "Log"), ports=replace(case.ports, values="log"))
    # A loss that normalises again is often exported with the model. Applied to probabilities it gives different ones.
    for values in ("log", "probabilities"):
        case = lowered(f"gru-softmax-of-{values}", GRU, Form(values=values))
        ports = replace(case.ports, values="probabilities")
        network = GRU if values == "log" else None
        yield replace(after_output(case, "Softmax", axis=-1), ports=ports, network=network, outcome="tract")
    # Nodes without effect.
    yield after_output(lowered("lstm-plus-nothing", LSTM, Form()), "Identity")
    case = lowered("lstm-casts", LSTM, Form())
    yield after_output(case, "Cast", to=TensorProto.FLOAT)


def after_output(case: Case, op: str, **attributes) -> Case:
    """Adds a node after the logits."""
    graph = case.model.graph
    last = next(node for node in graph.node if list(node.output) == ["y"])
    last.output[0] = "y_before"
    graph.node.append(helper.make_node(op, ["y_before"], ["y"], name="last", **attributes))
    return case


def states() -> Iterator[Case]:
    # States of integer type, by mistake: a state that is fed back is truncated to whole numbers inside the graph.
    case = lowered("lstm-state-of-integers", LSTM, Form())
    for port in [port for port in case.model.graph.input if port.name in ("h0", "c0")]:
        port.type.tensor_type.elem_type = TensorProto.INT64
        node = next(node for node in case.model.graph.node if port.name in node.input)
        node.input[list(node.input).index(port.name)] = port.name + "_float"
        case.model.graph.node.insert(0, helper.make_node("Cast", [port.name], [port.name + "_float"], to=TensorProto.FLOAT))
    parts = tuple(replace(part, dtype=np.int64) for part in case.ports.state)
    yield replace(case, ports=replace(case.ports, state=parts))
    # h of both layers as one [B, 2 * H], split and concatenated inside the graph.
    network = LSTM_2
    case = lowered("lstm-state-split", network, Form(state="flat"))
    graph = case.model.graph
    for kind in "hc":
        ins = [port for port in graph.input if port.name in (f"{kind}0_in", f"{kind}1_in")]
        outs = [port for port in graph.output if port.name in (f"{kind}0_out", f"{kind}1_out")]
        for port in ins:
            graph.input.remove(port)
        for port in outs:
            graph.output.remove(port)
        graph.input.append(helper.make_tensor_value_info(kind, TensorProto.FLOAT, ["B", 10]))
        graph.output.append(helper.make_tensor_value_info(f"{kind}_next", TensorProto.FLOAT, ["B", 10]))
        graph.initializer.append(numpy_helper.from_array(np.array([5, 5]), f"{kind}_sizes"))
        graph.node.insert(0, helper.make_node("Split", [kind, f"{kind}_sizes"], [port.name for port in ins], axis=1))
        graph.node.append(helper.make_node("Concat", [port.name for port in outs], [f"{kind}_next"], axis=1))
    parts = tuple(Part(kind, f"{kind}_next", kind, (0, 1), "BLxH") for kind in "hc")
    yield replace(case, ports=replace(case.ports, state=parts))


def keras_2() -> Iterator[Case]:
    """Keras 2 through tf2onnx, which supported every layer: ids [B, T], one bias, a softmax, the state lost or `[B, H]` per layer."""
    options = {"time_major": False, "producer": "tf2onnx", "version": "1.9.3", "opset": 13}
    for state in ("lost", "flat"):
        simple = [Network(cell, bias="input") for cell in ("rnn_tanh", "rnn_relu")]
        for network in [Network("lstm", (5, 5), bias="input"), Network("gru"), *simple]:
            form = Form(state=state, values="probabilities", ids="float" if state == "lost" else "int32", **options)
            yield lowered(f"keras-2-{network.cell}-{state}", network, form)
    network = Network("gru", bias="input", reset_after=False)
    form = Form(state="lost", positions="hidden", frozen=(8, None), values="probabilities", **options)
    yield lowered("keras-2-gru-lbr0-windowed", network, form)


def functions() -> Iterator[Case]:
    """Moves a part of the graph into a function of the file, as exporters did in 2022-24."""
    says = "inline_local_functions"
    yield Case("lstm-in-a-function", in_a_function(build(LSTM, Form())), "refused", says=says, oracle="none")
    # What the advice leads to.
    inlined = lowered("lstm-inlined", LSTM, Form())
    inlined.source = inline_local_functions(in_a_function(inlined.model))
    yield Case(inlined.name, inlined.source, "lowered", LSTM, inlined.ports)
    clipped = build(LSTM, Form(attributes=(("clip", 1.0),)))
    yield Case("lstm-clip-in-a-function", in_a_function(clipped), "refused", oracle="none")


def in_a_function(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    node = next(node for node in graph.node if node.op_type == "LSTM")
    inputs = [name for name in node.input if name]
    body = onnx.NodeProto()
    body.CopyFrom(node)
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Recurrence", inputs, list(node.output), [body], opsets))
    call = helper.make_node("Recurrence", inputs, list(node.output), name="recurrence", domain="local")
    position = list(graph.node).index(node)
    graph.node.remove(node)
    graph.node.insert(position, call)
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model
