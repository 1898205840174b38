"""Malicious files: claims that the bytes do not support, graphs that do not end, data in other places."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from case import Case
from graph import Graph
from network import Network
from recurrent import Form, build

LSTM = Network("lstm")
SQUARE = np.ones((4, 4), np.float32)


def cases() -> Iterator[Case]:
    yield from bytes_alone()
    yield from tensors()
    yield from external_data()
    yield from graphs()
    yield from bombs()


def hostile(name: str, model: onnx.ModelProto | bytes, says: str = "", **more) -> Case:
    return Case(name, model, "refused", says=says, oracle="none", **more)


def spoiled(name: str, spoil: Callable[[onnx.GraphProto], None], says: str = "", state: str = "stacked") -> Case:
    """A good file that is then damaged."""
    model = build(LSTM, Form(state=state))
    spoil(model.graph)
    return hostile(name, model, says)


def bytes_alone() -> Iterator[Case]:
    whole = build(LSTM, Form()).SerializeToString(deterministic=True)
    yield hostile("empty", b"")
    yield hostile("text", b"This is not a model.\n")
    yield hostile("random", np.random.default_rng(1).bytes(2000))
    yield hostile("zeros", bytes(1000))
    for percent in (10, 50, 90, 99):
        yield hostile(f"truncated-{percent}", whole[: len(whole) * percent // 100])
    # The length of a field claims a graph of 2^62 bytes.
    yield hostile("length-of-a-graph", b"\x3a" + b"\xff" * 8 + b"\x3f")
    yield hostile("no-graph", onnx.ModelProto(ir_version=8).SerializeToString())
    deep = b""
    for _ in range(2000):  # Nested subgraphs: graph.node.attribute.g.
        deep = field(1, field(5, field(6, deep)))
    yield hostile("deep", b"\x08\x08" + field(7, deep))


def field(number: int, content: bytes) -> bytes:
    """Encodes a field of bytes as protobuf does."""
    length, varint = len(content), b""
    while length > 127:
        varint += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([length]) + content


def weight(graph: onnx.GraphProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in graph.initializer if tensor.name == name)


def tensors() -> Iterator[Case]:
    def dims(*sizes: int) -> Callable[[onnx.GraphProto], None]:
        return lambda graph: weight(graph, "embedding").dims.__setitem__(slice(None), sizes)

    yield spoiled("dims-huge", dims(1 << 40, 1 << 20), "embedding")
    yield spoiled("dims-overflow", dims(1 << 32, 1 << 32), "embedding")
    yield spoiled("dims-product-zero", dims(1 << 62, 4, 0), "embedding")
    yield spoiled("dims-negative", dims(-11, -4), "embedding")
    yield spoiled("dims-too-many", dims(*[1] * 5000, 11, 4), "embedding")
    yield spoiled("dims-larger-than-data", dims(12, 4), "embedding")

    def values(name: str, array: np.ndarray) -> Callable[[onnx.GraphProto], None]:
        return lambda graph: weight(graph, name).CopyFrom(numpy_helper.from_array(array, name))

    yield spoiled("weight-transposed", values("W0", np.zeros((1, 4, 20), np.float32)), "layer0")
    yield spoiled("recurrence-of-another-size", values("R0", np.zeros((1, 24, 6), np.float32)), "layer0")
    yield spoiled("bias-short", values("B0", np.zeros((1, 20), np.float32)), "layer0")
    yield spoiled("decoder-of-another-size", values("decoder_T", np.ones((7, 11), np.float32)))
    yield spoiled("embedding-of-another-width", values("embedding", np.ones((11, 3), np.float32)))
    yield spoiled("embedding-of-another-width-zeros", values("embedding", np.zeros((11, 3), np.float32)))
    yield spoiled("embedding-empty", values("embedding", np.zeros((0, 4), np.float32)))
    yield spoiled("weight-integers", values("W0", np.zeros((1, 20, 4), np.int64)))
    nan = LSTM.weights()["encoder.weight"].copy()
    nan[3, 1] = np.nan
    yield spoiled("embedding-nan", values("embedding", nan), "NaN")
    yield spoiled("weight-strings", strings)
    yield spoiled("hidden-size-huge", hidden_size(1 << 60))
    yield spoiled("hidden-size-negative", hidden_size(-5))
    yield spoiled("hidden-size-zero", hidden_size(0))
    yield spoiled("hidden-size-of-another", hidden_size(6))


def strings(graph: onnx.GraphProto) -> None:
    tensor = weight(graph, "W0")
    tensor.ClearField("raw_data")
    tensor.data_type = TensorProto.STRING
    tensor.string_data.extend([b"0.5"] * 80)


def hidden_size(size: int) -> Callable[[onnx.GraphProto], None]:
    def spoil(graph: onnx.GraphProto) -> None:
        node = next(node for node in graph.node if node.op_type == "LSTM")
        next(a for a in node.attribute if a.name == "hidden_size").i = size

    return spoil


def external_data() -> Iterator[Case]:
    """Weights stored elsewhere: outside the folder, past the end of the file, or not in a file."""

    def at(name: str, says: str = "", **entries: str | int) -> Case:
        case = spoiled(f"external-{name}", lambda graph: point(weight(graph, "embedding"), entries), says)
        case.files["external.bin"] = bytes(64)
        return case

    yield at("parent", location="../by_hand/lstm-external.bin", length=176)
    yield at("parent-hidden", location="weights/../../by_hand/lstm-external.bin", length=176)
    yield at("absolute", location="/etc/passwd", length=176)
    yield at("device", location="/dev/zero", length=176)
    yield at("missing", location="nowhere.bin")
    yield at("folder", location=".")
    yield at("empty-location", location="")
    yield at("no-location")
    yield at("windows", location="..\\by_hand\\lstm-external.bin", length=176)
    yield at("nul", location="external\0.bin", length=176)
    yield at("short", location="external.bin", length=64)
    yield at("past-the-end", location="external.bin", length=176)
    yield at("offset-past-the-end", location="external.bin", offset=1 << 62, length=176)
    yield at("offset-overflow", location="external.bin", offset=(1 << 64) - 1, length=176)
    yield at("offset-negative", location="external.bin", offset=-64, length=176)
    yield at("length-huge", location="external.bin", length=1 << 50)
    yield at("length-no-number", location="external.bin", length="many")
    huge = at("dims-huge", location="external.bin", offset=0)
    weight(huge.model.graph, "embedding").dims[:] = [1 << 40, 4]
    yield huge


def point(tensor: onnx.TensorProto, entries: dict[str, str | int]) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))


def graphs() -> Iterator[Case]:
    def node(graph: onnx.GraphProto, op: str) -> onnx.NodeProto:
        return next(node for node in graph.node if node.op_type == op)

    def cycle(graph: onnx.GraphProto) -> None:
        node(graph, "Gather").input[0] = "y"

    def self_loop(graph: onnx.GraphProto) -> None:
        node(graph, "Squeeze").input[0] = node(graph, "Squeeze").output[0]

    def constant_cycle(graph: onnx.GraphProto) -> None:
        graph.node.append(helper.make_node("Add", ["p", "q"], ["p"]))
        graph.node.append(helper.make_node("Neg", ["p"], ["q"]))
        node(graph, "LSTM").input[1] = "p"

    def undefined(graph: onnx.GraphProto) -> None:
        node(graph, "LSTM").input[1] = "nowhere"

    def twice(graph: onnx.GraphProto) -> None:
        node(graph, "MatMul").output[0] = node(graph, "Squeeze").output[0]

    def without_outputs(graph: onnx.GraphProto) -> None:
        del graph.output[:]

    def without_nodes(graph: onnx.GraphProto) -> None:
        del graph.node[:]

    def two_inputs_of_tokens(graph: onnx.GraphProto) -> None:
        graph.input.append(helper.make_tensor_value_info("x2", TensorProto.INT64, ["T", "B"]))
        graph.node.append(helper.make_node("Gather", ["embedding", "x2"], ["second"]))
        added = helper.make_node("Add", [node(graph, "Gather").output[0], "second"], ["both"])
        graph.node.append(added)
        node(graph, "LSTM").input[0] = "both"

    def no_inputs(graph: onnx.GraphProto) -> None:
        del node(graph, "LSTM").input[:]

    yield spoiled("cycle", cycle)
    yield spoiled("self-loop", self_loop)
    yield spoiled("constant-cycle", constant_cycle)
    yield spoiled("undefined-input", undefined)
    yield spoiled("output-twice", twice)
    yield spoiled("no-outputs", without_outputs)
    yield spoiled("no-nodes", without_nodes)
    yield spoiled("two-inputs-of-tokens", two_inputs_of_tokens)
    yield spoiled("no-inputs-of-a-node", no_inputs)


def bombs() -> Iterator[Case]:
    """Small files whose constants are huge once computed, or cannot be computed."""
    yield bomb("constant-of-shape", lambda g: g.op("ConstantOfShape", g.constant([1 << 20, 1 << 20], dtype=np.int64)))
    yield bomb("expand", lambda g: g.op("Expand", g.constant(np.float32(1)), g.constant([1 << 21, 1 << 20], dtype=np.int64)))
    yield bomb("tile", lambda g: g.op("Tile", g.constant(SQUARE), g.constant([1 << 18, 1 << 18], dtype=np.int64)))
    yield bomb("range", lambda g: g.op("Range", *(g.constant(v, dtype=np.int64) for v in (0, 1 << 40, 1))))
    yield bomb("pad", lambda g: g.op("Pad", g.constant(SQUARE), g.constant([1 << 30, 1 << 30, 0, 0], dtype=np.int64)))
    yield bomb("concat-doubling", doubling)
    yield bomb("outer-products", outer_products)
    yield bomb("reshape-negative", lambda g: g.op("Reshape", g.constant(SQUARE), g.constant([-1, -1], dtype=np.int64)))
    yield bomb("slice-step-0", slice_step_0)
    yield bomb("gather-out-of-range", lambda g: g.op("Gather", g.constant(SQUARE), g.constant(99, dtype=np.int64)))
    yield bomb("split-negative", lambda g: g.split(g.constant(SQUARE), 0, [-4, 8])[0])
    yield bomb("transpose-of-other-axes", lambda g: g.op("Transpose", g.constant(SQUARE), perm=[7, 7]))


def bomb(name: str, weight: Callable[[Graph], str]) -> Case:
    """A recurrent node with that value as its weight."""
    graph = Graph()
    x = graph.input("x", ["T", "B"], TensorProto.INT64)
    embedded = graph.op("Gather", graph.constant(np.ones((11, 4), np.float32)), x)
    r = graph.constant(np.ones((1, 20, 5), np.float32))
    (y,) = graph.ops("LSTM", embedded, weight(graph), r, name="layer0", to=["Y0"], hidden_size=5)
    y = graph.op("MatMul", graph.squeeze(y, 1), graph.constant(np.ones((5, 11), np.float32)))
    graph.output(y, "y", ["T", "B", 11])
    return hostile(f"bomb-{name}", graph.model())


def doubling(graph: Graph) -> str:
    value = graph.constant(np.ones((1, 20, 4), np.float32))
    for _ in range(60):
        value = graph.op("Concat", value, value, axis=0)
    return value


def outer_products(graph: Graph) -> str:
    value = graph.op("Expand", graph.constant(np.float32(1)), graph.constant([1, 1 << 20], dtype=np.int64))
    return graph.op("MatMul", graph.op("Transpose", value), value)


def slice_step_0(graph: Graph) -> str:
    numbers = (graph.constant([n], dtype=np.int64) for n in (0, 4, 0, 0))
    return graph.op("Slice", graph.constant(SQUARE), *numbers)
