"""Graphs that load in any runtime, but whose outputs, states or positions are not what they seem.

Served by their looks, each would answer with wrong numbers: scores that are no logits, positions that see more of a text than the state
keeps, states that are fed back in the wrong order, parts that the exporter has dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto

from case import Case, Part, Ports
from graph import Graph, Name
from network import Network
from recurrent import Form, build
from refusals import refused
from unrecognised import HIDDEN, VOCAB, WIDTH, Net, Plain, Weights, residual, tract


def cases() -> Iterator[Case]:
    yield from scores()
    yield from sizes()
    yield from positions()
    yield from heads()
    yield from states()
    yield from declared()
    yield from weights()


def scores() -> Iterator[Case]:
    yield tract("lstm-own-softmax", with_values(Net("LSTM", around=residual, finish=own_softmax), "probabilities"))
    yield tract("lstm-rounded-softmax", with_values(Net("LSTM", around=residual, finish=rounded_softmax), "probabilities"))
    yield tract("lstm-log-of-softmax", with_values(Net("LSTM", around=residual, finish=log_of_softmax), "log"))
    yield tract("lstm-scaled-and-masked", Net("LSTM", around=residual, finish=scaled_and_masked))
    says = "`y` is the output of node `sigmoid` (Sigmoid)"
    yield refused("lstm-residual-sigmoid", Net("LSTM", around=residual, finish=sigmoid).model, says)
    yield refused("lstm-sigmoid", Net("LSTM", around=plain, finish=sigmoid).model, says)
    yield refused("lstm-rounded-sigmoid", Net("LSTM", around=residual, finish=lambda net, y: rounded(net, sigmoid(net, y))).model, says)
    yield refused("lstm-rounded-to-nothing", Net("LSTM", around=residual, finish=rounded_to_nothing).model, "does not normalise")
    yield refused("transducer-decoder", transducer_decoder(), "`decoder_out` is the output of node `layer0` (LSTM)")


def sizes() -> Iterator[Case]:
    says = "expected one size for the embedding, the output and the vocabulary"
    yield refused("lstm-classifier", Net("LSTM", around=plain, vocab=3).model, says)
    yield refused("lstm-residual-classifier", Net("LSTM", around=residual, vocab=3).model, says)
    yield refused("lstm-output-larger", Net("LSTM", around=plain, vocab=VOCAB + 3).model, says)
    yield refused("lstm-residual-output-larger", Net("LSTM", around=residual, vocab=VOCAB + 3).model, says)


def positions() -> Iterator[Case]:
    def mixing(name: str, around: Callable, node: str, **form) -> Case:
        return refused(name, Net("LSTM", around=around, **form).model, f"node `{node}`")

    yield mixing("lstm-attention", attention, "scores")
    yield mixing("lstm-attention-bt", attention, "scores", time_major=False)
    yield mixing("lstm-attention-frozen-t", attention, "scores", frozen=(5, None))
    yield mixing("gru-convolution", convolution, "convolution")
    yield mixing("lstm-pooled", pooled, "pool")
    yield mixing("lstm-cumulative-sum", cumulative, "sums")
    yield mixing("lstm-position-index", position_index, "add_positions")
    yield mixing("lstm-shifted", shifted, "shift")
    yield mixing("lstm-attention-probabilities", attention, "scores", values="Softmax")


    # Rows and positions in the wrong order: layers without `batch_first` behind inputs named batch first.
    lstm = Network("lstm")
    model = build(lstm, Form())
    for dim, turned in zip(model.graph.input[0].type.tensor_type.shape.dim, ("batch", "seq")):
        dim.dim_param = turned
    yield Case("lstm-batch-read-as-time", model, "warned", lstm, Form().ports(lstm), says="without `batch_first=True`")

    # No state, and any number of ids: only the manifest can say how many are read at once.
    yield refused("convolution-of-any-length", convolution_of_any_length(), "`onnx.window`")


def heads() -> Iterator[Case]:
    says = "both `logits` and `aux` could be the logits; `logits` is used"
    yield Case("lstm-two-heads", two_heads(plain), "warned", ports=heads_ports("logits"), says=says)
    yield Case("lstm-two-heads-named", two_heads(plain), "lowered", ports=heads_ports("aux"), hints={"logits": "aux"})
    yield Case("lstm-residual-two-heads", two_heads(residual), "tract", ports=heads_ports("logits"))
    hints = {"logits": "aux"}
    yield Case("lstm-residual-two-heads-named", two_heads(residual), "tract", ports=heads_ports("aux"), hints=hints)
    says = "both `b` and `a` could be the logits; `b` is used"
    by_size = two_heads(plain, names=("a", "b"), sizes=(3, VOCAB))
    yield Case("lstm-two-heads-by-size", by_size, "warned", ports=heads_ports("b"), says=says)
    by_size = two_heads(residual, names=("a", "b"), sizes=(3, VOCAB))
    yield Case("lstm-residual-two-heads-by-size", by_size, "tract", ports=heads_ports("b"))


def states() -> Iterator[Case]:
    net = Net("LSTM", around=residual, names=lambda kind, k: {"h": ("1", "8"), "c": ("2", "7")}[kind])
    net.graph.outputs[1:] = net.graph.outputs[:0:-1]
    yield tract("lstm-outputs-c-before-h", net)
    net = Net("LSTM", around=residual, layers=2, names=lambda kind, k: {"h": (f"s{k}", f"t{9 - k}"), "c": (f"u{k}", f"v{9 - k}")}[kind])
    net.graph.outputs[1:] = net.graph.outputs[:0:-1]
    yield tract("lstm-2-outputs-reversed", net)
    # Names that would pair h with c.
    net = Net("LSTM", around=residual, names=lambda kind, k: {"h": ("c_in", "h_out"), "c": ("h_in", "c_out")}[kind])
    yield tract("lstm-names-crossed", net)
    yield tract("lstm-step-by-order", lstm_step(), frozen_t1=True)
    net = Net("LSTM", around=residual)
    says = "`h0_in` is h of node `layer0`, and `c0_out` is c of node `layer0`"
    yield refused("lstm-state-crossed-in-the-manifest", net.model, says, hints={"state": [["h0_in", "c0_out"]]})


def declared() -> Iterator[Case]:
    lstm = Network("lstm")
    for name, port, shape in [
        ("lstm-projection-dropped", "h0", [1, "B", 3]),
        ("lstm-state-of-two-layers", "c0", [2, "B", 5]),
        ("lstm-final-declared-otherwise", "hn", [1, "B", 3]),
        ("lstm-logits-declared-otherwise", "y", ["T", "B", 9]),
    ]:
        model = build(lstm, Form())
        found = next(value for value in [*model.graph.input, *model.graph.output] if value.name == port)
        found.CopyFrom(onnx.helper.make_tensor_value_info(port, TensorProto.FLOAT, shape))
        yield refused(name, model, f"the file declares `{port}: f32")


def weights() -> Iterator[Case]:
    # Natively too the file's own name is said.
    native = build(Network("lstm"), Form())
    head = next(node for node in native.graph.node if node.name == "decoder").input[1]
    tensor = next(tensor for tensor in native.graph.initializer if tensor.name == head)
    array = onnx.numpy_helper.to_array(tensor).copy()
    array[2, 3] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, head))
    yield refused("lstm-nan", native, f"tensor `{head}` has the value NaN")
    for name, value in [("nan", np.nan), ("infinity", np.inf), ("negative-infinity", -np.inf)]:
        model = Net("LSTM", around=residual).model
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "decoder")
        array = onnx.numpy_helper.to_array(tensor).copy()
        array[2, 3] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, "decoder"))
        yield refused(f"lstm-residual-{name}", model, "tensor `decoder` has the value")


def with_values(net: Net, values: str) -> Net:
    net.ports = Ports("x", "y", values=values, state=net.ports.state)
    return net


def plain(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return recur(value)


def sigmoid(net: Net, y: Name) -> Name:
    return net.graph.op("Sigmoid", y, name="sigmoid")


def own_softmax(net: Net, y: Name) -> Name:
    """Softmax of elementary operators."""
    graph = net.graph
    powers = graph.op("Exp", graph.op("Sub", y, graph.reduce("ReduceMax", y, (-1,), keepdims=1)))
    return graph.op("Div", powers, graph.op("ReduceSum", powers, graph.constant([-1], dtype=np.int64), keepdims=1))


def rounded(net: Net, y: Name, scale: float = 1 / 64) -> Name:
    """What static quantisation puts behind an operator, to 8 bits and back: the sum of probabilities is off by more than a percent."""
    graph = net.graph
    scale = graph.constant(scale, dtype=np.float32)
    zero = graph.constant(0, dtype=np.uint8)
    return graph.op("DequantizeLinear", graph.op("QuantizeLinear", y, scale, zero), scale, zero)


def rounded_softmax(net: Net, y: Name) -> Name:
    return rounded(net, net.graph.op("Softmax", y, axis=-1))


def rounded_to_nothing(net: Net, y: Name) -> Name:
    """A step of 2: no probability is left."""
    return rounded(net, net.graph.op("Softmax", y, axis=-1, name="softmax"), scale=2.0)


def log_of_softmax(net: Net, y: Name) -> Name:
    return net.graph.op("Log", net.graph.op("Softmax", y, axis=-1))


def scaled_and_masked(net: Net, y: Name) -> Name:
    """Logits divided by a temperature, and a token that is never meant to come."""
    graph = net.graph
    mask = np.zeros(VOCAB, np.float32)
    mask[3] = -30.0
    return graph.op("Add", graph.op("Div", y, graph.constant(1.5, dtype=np.float32)), graph.constant(mask))


def transducer_decoder() -> onnx.ModelProto:
    """The prediction network of a transducer, as wide as its vocabulary: its output goes into a joint network."""
    model = build(Network("lstm", (VOCAB,)), Form())
    graph = model.graph
    head = next(node for node in graph.node if node.name == "decoder")
    hidden = head.input[0]
    end = next(node for node in graph.node if "y" in node.output)
    keep = [node for node in graph.node if node is not end]
    del graph.node[:]
    graph.node.extend([*keep, onnx.helper.make_node("Identity", [hidden], ["decoder_out"])])
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("decoder_out", TensorProto.FLOAT, ["T", "B", VOCAB]))
    return model


def attention(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """Each position attends to all others."""
    graph = net.graph
    h = recur(value)
    rows = graph.op("Transpose", h, perm=[1, 0, 2])
    scores = graph.op("MatMul", rows, graph.op("Transpose", h, perm=[1, 2, 0]), name="scores")
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), rows)
    return graph.op("Add", h, graph.op("Transpose", mixed, perm=[1, 0, 2]))


def convolution(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """A causal convolution of two positions below the layer."""
    graph = net.graph
    channels = graph.op("Transpose", value, perm=[1, 2, 0])
    kernel = net.weight("kernel", WIDTH, WIDTH, 2)
    convolved = graph.op("Conv", channels, kernel, name="convolution", pads=[1, 0])
    return recur(graph.op("Transpose", convolved, perm=[2, 0, 1]))


def convolution_of_any_length() -> onnx.ModelProto:
    """A causal convolution of three positions over as many ids as callers give, whose last position is the output."""
    graph = Graph()
    weight = Weights(graph, 9)
    x = graph.input("x", ["B", "N"], TensorProto.INT64)
    channels = graph.op("Transpose", graph.op("Gather", weight("embedding", VOCAB, WIDTH), x), perm=[0, 2, 1])
    convolved = graph.op("Conv", channels, weight("kernel", HIDDEN, WIDTH, 3), pads=[2, 0])
    steps = graph.op("Transpose", graph.op("Relu", convolved), perm=[0, 2, 1])
    last = graph.squeeze(graph.slice(steps, 1, -1, 2**31 - 1), 1)
    graph.output(graph.op("MatMul", last, weight("decoder", HIDDEN, VOCAB)), "y", ["B", VOCAB])
    return graph.model()


def pooled(net: Net, k: int, value: Name, recur: Callable) -> Name:
    graph = net.graph
    h = recur(value)
    channels = graph.op("Transpose", h, perm=[1, 2, 0])
    mean = graph.op("GlobalAveragePool", channels, name="pool")
    return graph.op("Add", h, graph.op("Transpose", mean, perm=[2, 0, 1]))


def cumulative(net: Net, k: int, value: Name, recur: Callable) -> Name:
    graph = net.graph
    return graph.op("CumSum", recur(value), graph.constant(0, dtype=np.int64), name="sums")


def position_index(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """A vector for each position, added to the embedding."""
    graph = net.graph
    length = graph.op("Gather", graph.op("Shape", value), graph.constant(0, dtype=np.int64))
    places = graph.op("Range", graph.constant(0, dtype=np.int64), length, graph.constant(1, dtype=np.int64))
    vectors = graph.unsqueeze(graph.op("Gather", net.weight("positions", 64, WIDTH), places), 1)
    return recur(graph.op("Add", value, vectors, name="add_positions"))


def shifted(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """Each position sees the h before it; the first sees zeros."""
    graph = net.graph
    h = recur(value)
    moved = graph.op("Pad", h, graph.constant([1, 0, 0, -1, 0, 0], dtype=np.int64), name="shift")
    return graph.op("Add", h, moved)


def two_heads(around: Callable, names: tuple[str, str] = ("aux", "logits"), sizes: tuple[int, int] = (VOCAB, VOCAB)) -> onnx.ModelProto:
    """An output layer of an auxiliary task before the one that is meant."""
    net = Net("LSTM", around=around)
    graph = net.graph
    add = next(node for node in graph.nodes if node.op_type == "Add" and "bias" in node.input)
    hidden = next(node for node in graph.nodes if "decoder" in node.input).input[0]
    end = next(node for node in graph.nodes if "y" in node.output)
    graph.nodes.remove(end)
    meant, graph.outputs[:1] = add.output[0], []
    other = graph.op("MatMul", hidden, net.weight("aux_decoder", HIDDEN, sizes[0]))
    states, graph.outputs = graph.outputs, []
    graph.output(other, names[0], ["T", "B", sizes[0]])
    graph.output(meant, names[1], ["T", "B", sizes[1]])
    graph.outputs += states
    return graph.model()


def heads_ports(logits: str) -> Ports:
    return Ports("x", logits, state=(Part("h0_in", "h0_out"), Part("c0_in", "c0_out", "c")))


def lstm_step() -> Plain:
    """One step of an LSTM made of elementary operators. Nothing but their order tells its two states from each other."""
    graph = Graph()
    weight = Weights(graph, 8)
    x = graph.input("x", [1, "B"], TensorProto.INT64)
    h, c = graph.input("1", [1, "B", HIDDEN]), graph.input("2", [1, "B", HIDDEN])
    both = graph.op("Concat", graph.op("Gather", weight("embedding", VOCAB, WIDTH), x), h, axis=2)
    gates = graph.op("Add", graph.op("MatMul", both, weight("cell", WIDTH + HIDDEN, 4 * HIDDEN)), weight("cell_bias", 4 * HIDDEN))
    i, f, o, g = graph.split(gates, 2, [HIDDEN] * 4)
    kept = graph.op("Mul", graph.op("Sigmoid", f), c)
    after = graph.op("Add", kept, graph.op("Mul", graph.op("Sigmoid", i), graph.op("Tanh", g)))
    hidden = graph.op("Mul", graph.op("Sigmoid", o), graph.op("Tanh", after))
    graph.output(graph.op("MatMul", hidden, weight("decoder", HIDDEN, VOCAB)), "y", [1, "B", VOCAB])
    graph.output(hidden, "3", [1, "B", HIDDEN])
    graph.output(after, "4", [1, "B", HIDDEN])
    return Plain(graph.model(), Ports("x", "y", state=(Part("1", "3"), Part("2", "4", "c"))))
