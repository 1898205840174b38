"""Graphs that some runtime would compute wrongly, and one that its exporter wrote wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from case import Case, Ports
from graph import Graph
from network import GATES, Network, onnx_layer
from recurrent import Form, build

CELLS = {"RNN": Network("rnn_tanh"), "GRU": Network("gru"), "LSTM": Network("lstm")}


def cases() -> Iterator[Case]:
    yield from attributes()
    yield from inputs()
    yield from surroundings()
    yield from gru_trap()


def refused(name: str, model: onnx.ModelProto, says: str = "layer0", **more) -> Case:
    return Case(name, model, "refused", says=says, oracle="none", **more)


def altered(op: str, **changed: Any) -> onnx.ModelProto:
    return build(CELLS[op], Form(attributes=tuple(changed.items())))


def attributes() -> Iterator[Case]:
    for op, lists in {
        "RNN": [["Affine"], ["LeakyRelu"], ["HardSigmoid"], ["Softsign"]],
        "GRU": [["Sigmoid", "Relu"]],
        "LSTM": [["Sigmoid", "Tanh", "Relu"], ["Sigmoid", "Softsign", "Tanh"]],
    }.items():
        for activations in lists:
            yield refused(f"{op.lower()}-activations-{'-'.join(activations).lower()}", altered(op, activations=activations))
    alpha = {"activations": ["LeakyRelu"], "activation_alpha": [0.2]}
    yield refused("rnn-activation-alpha", altered("RNN", **alpha))
    for op in CELLS:
        yield refused(f"{op.lower()}-clip", altered(op, clip=3.0))
        yield refused(f"{op.lower()}-reverse", altered(op, direction="reverse"))
        yield refused(f"{op.lower()}-bidirectional", bidirectional(op))
    yield refused("lstm-input-forget", altered("LSTM", input_forget=1))
    # Only the second layer: checking the first recurrent node is not enough.
    two = build(Network("lstm", (5, 5)), Form())
    second = next(node for node in two.graph.node if node.name == "layer1")
    second.attribute.append(helper.make_attribute("clip", 1.0))
    yield refused("lstm-clip-on-the-second-layer", two, "layer1")
    unnamed = altered("LSTM", clip=1.0)
    next(node for node in unnamed.graph.node if node.op_type == "LSTM").name = ""
    yield refused("lstm-clip-unnamed", unnamed, "Y0")
    yield refused("lstm-layout-2", altered("LSTM", layout=2))
    yield refused("gru-clip-opset7", build(CELLS["GRU"], Form(opset=7, attributes=(("clip", 2.0),))))


def bidirectional(op: str) -> onnx.ModelProto:
    """Forward and backward states concatenated, as wide as the output layer expects."""
    network, graph = CELLS[op], Graph()
    weights = network.weights()
    x = graph.input("x", ["T", "B"], TensorProto.INT64)
    embedded = graph.op("Gather", graph.constant(weights["encoder.weight"]), x)
    both = [np.concatenate([part, part]) for part in onnx_layer(network, weights, 0)]
    names = [graph.constant(part) for part in both]
    (y,) = graph.ops(op, embedded, *names, name="layer0", to=["Y0"], hidden_size=5, direction="bidirectional")
    swapped = graph.op("Transpose", y, perm=[0, 2, 1, 3])
    wide = graph.op("Reshape", swapped, graph.constant([0, 0, 10], dtype=np.int64))
    decoder = np.concatenate([weights["decoder.weight"]] * 2, axis=1).T
    graph.output(graph.op("MatMul", wide, graph.constant(np.ascontiguousarray(decoder))), "y", ["T", "B", 11])
    return graph.model()


def inputs() -> Iterator[Case]:
    for op, network in CELLS.items():
        model = build(network, Form())
        model.graph.input.append(helper.make_tensor_value_info("lens", TensorProto.INT32, ["B"]))
        node = recurrent_node(model)
        node.input[:] = [*node.input[:4], "lens", *node.input[5:]]
        yield refused(f"{op.lower()}-sequence-lens-input", model)
    short = Form(sequence_lens=(2, 5), frozen=(7, 2))
    yield refused("lstm-sequence-lens-shorter", build(CELLS["LSTM"], short))
    free = Form(sequence_lens=(2, 7), frozen=(None, 2))
    yield refused("lstm-sequence-lens-constant-free-t", build(CELLS["LSTM"], free))
    model = build(CELLS["LSTM"], Form())
    peepholes = onnx.numpy_helper.from_array(np.full((1, 15), 0.1, np.float32), "P0")
    model.graph.initializer.append(peepholes)
    recurrent_node(model).input.append("P0")
    yield refused("lstm-peepholes", model)
    model = build(CELLS["LSTM"], Form(state="lost", frozen=(None, 2)))
    rows = np.linspace(0.1, 1, 10, dtype=np.float32).reshape(1, 2, 5)
    start = onnx.numpy_helper.from_array(rows, "start")
    model.graph.initializer.append(start)
    node = recurrent_node(model)
    node.input.extend(["", "start", "start"])
    # A sequence starts from one state, whatever row it is in.
    yield refused("lstm-starts-each-row-elsewhere", model)


def recurrent_node(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type in CELLS)


def surroundings() -> Iterator[Case]:
    # tract ignores the attribute `activations`, so what is not lowered must not reach it.
    yield refused("rnn-relu-behind-a-residual", residual(Network("rnn_relu", (5,), embedding_size=5)))
    yield refused("rnn-sigmoid-behind-a-residual", residual(Network("rnn_sigmoid", (5,), embedding_size=5)))
    yield refused("lstm-clip-in-a-branch", branch(altered("LSTM", clip=1.0)))
    yield refused("lstm-softmax-over-time", build(CELLS["LSTM"], Form(values="probabilities", softmax_axis=0)), "normalise")
    yield refused("unknown-operator", unknown_operator(), "strange")
    yield refused("no-tokens", no_tokens(), "")
    yield refused("residual-without-a-state", residual(Network("lstm", (5,), embedding_size=5), exposed=False), "")


def residual(network: Network, exposed: bool = True) -> onnx.ModelProto:
    """Adds the embedding to h, which is not a network of the native engine."""
    model = build(network, Form(state="stacked" if exposed else "lost"))
    squeeze = next(node for node in model.graph.node if node.op_type == "Squeeze")
    gather = next(node for node in model.graph.node if node.op_type == "Gather")
    added = helper.make_node("Add", [squeeze.output[0], gather.output[0]], ["with_residual"], name="residual")
    decoder = next(node for node in model.graph.node if node.name == "decoder")
    decoder.input[0] = "with_residual"
    position = list(model.graph.node).index(decoder)
    model.graph.node.insert(position, added)
    return model


def branch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The recurrent node in both branches of an If, where the allowlist must look too."""
    graph = model.graph
    node = recurrent_node(model)
    position = list(graph.node).index(node)
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    outputs = [name for name in node.output]
    values = [helper.make_tensor_value_info(name + "_inner", TensorProto.FLOAT, None) for name in outputs]
    copy.output[:] = [value.name for value in values]
    body = helper.make_graph([copy], "body", [], values)
    condition = onnx.numpy_helper.from_array(np.array(True), "condition")
    graph.initializer.append(condition)
    graph.node.remove(node)
    graph.node.insert(position, helper.make_node("If", ["condition"], outputs, name="if", then_branch=body, else_branch=body))
    return model


def unknown_operator() -> onnx.ModelProto:
    model = build(CELLS["LSTM"], Form())
    decoder = next(node for node in model.graph.node if node.name == "decoder")
    position = list(model.graph.node).index(decoder)
    model.graph.node.insert(position, helper.make_node("Strange", [decoder.input[0]], ["odd"], name="strange", domain="com.example"))
    decoder.input[0] = "odd"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def no_tokens() -> onnx.ModelProto:
    """A graph shaped like an image classifier: floats in, floats out."""
    graph = Graph()
    x = graph.input("pixels", ["N", 3, 8, 8])
    kernel = graph.constant(np.ones((4, 3, 3, 3), np.float32))
    graph.output(graph.op("GlobalAveragePool", graph.op("Conv", x, kernel)), "y", ["N", 4, 1, 1])
    return graph.model()


def gru_trap() -> Iterator[Case]:
    """linear_before_reset = 0 where PyTorch computed with 1: an error of its exporter from 2025-11 to 2026-06."""
    for layers in (1, 2):
        meant = Network("gru", (5,) * layers)
        written = replace(meant, reset_after=False)
        form = Form(opset=20, producer="pytorch", version="2.10.0")
        file = build(written, form, meant.weights())
        ports = form.ports(meant)
        # Without an override the numbers are those of the file; with it, those of PyTorch.
        yield Case(f"gru-trap-{layers}", file, "warned", ports=ports, says="linear_before_reset")
        hints = {"gru_linear_before_reset": True}
        yield Case(f"gru-trap-{layers}-overridden", file, "lowered", meant, ports, hints=hints, oracle="twin", runtime="none")
        hints = {"gru_linear_before_reset": False}
        yield Case(f"gru-trap-{layers}-meant", file, "lowered", ports=ports, hints=hints)
    # The reverse: an override applies whoever wrote the file.
    meant = Network("gru", reset_after=False)
    form = Form()
    file = build(replace(meant, reset_after=True), form, meant.weights())
    hints = {"gru_linear_before_reset": False}
    yield Case("gru-overridden-to-0", file, "lowered", meant, form.ports(meant), hints=hints, oracle="twin", runtime="none")
    # Keras writes this deliberately.
    form = Form(producer="tf2onnx", version="1.16.1", time_major=False)
    network = Network("gru", bias="input", reset_after=False)
    yield Case("gru-lbr0-keras-no-warning", build(network, form), "lowered", network, form.ports(network))
