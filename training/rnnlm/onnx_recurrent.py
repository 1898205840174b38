"""A recurrent network as an ONNX graph whose state is an input and an output.

`tokens` int64 `[steps, batch]` and the state before them, to `logits` `[steps, batch, vocabulary]` and the state after them. Both sizes
are free. Where all layers have the same size the state is `h0` `[layers, batch, hidden]` to `hn`, and `c0` to `cn` for an LSTM;
otherwise each layer has its own, `h0_l0` `[1, batch, hidden]` to `hn_l0` and so on.
"""

from __future__ import annotations

import numpy
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from . import onnx_file
from .architecture import HARD_SLOPES, Architecture
from .onnx_file import LOGITS, TOKENS, Initializers

# The operator of each cell with its attributes, and for each gate in ONNX's order its place in PyTorch's:
# i o f c out of i f g o, and z r h out of r z n.
OPERATORS = {
    "rnn_tanh": ("RNN", {"activations": ["Tanh"]}, [0]),
    "rnn_relu": ("RNN", {"activations": ["Relu"]}, [0]),
    "rnn_sigmoid": ("RNN", {"activations": ["Sigmoid"]}, [0]),
    "gru": ("GRU", {}, [1, 0, 2]),
    "lstm": ("LSTM", {}, [0, 3, 1, 2]),
}


def to_bytes(shape: Architecture, tensors: dict[str, numpy.ndarray], dtype: numpy.dtype) -> bytes:
    """The content of the file, with weights stored as `dtype`."""
    weights = Initializers(operator_weights(shape, tensors), dtype)
    layers = range(len(shape.hidden_sizes))
    graph = helper.make_graph(
        [
            *weights.casts,
            helper.make_node("Gather", [weights.used("encoder.weight"), TOKENS], ["outputs"], axis=0),
            *(taken(part, layer) for part in parts(shape) for layer in layers if stacked(shape)),
            *(node for layer in layers for node in layer_nodes(shape, layer, weights)),
            *(helper.make_node("Concat", [f"{part}n_l{layer}" for layer in layers], [f"{part}n"], axis=0) for part in parts(shape) if stacked(shape)),
            *output_nodes(shape, f"outputs_l{layers[-1]}", weights),
        ],
        shape.cell,
        [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["steps", "batch"]), *state_infos(shape, "0")],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["steps", "batch", shape.vocab_size]), *state_infos(shape, "n")],
        [*weights.tensors, *constants(shape)],
    )
    return onnx_file.to_bytes(graph)


def state_pairs(shape: Architecture) -> dict[str, str]:
    """The inputs through which the state comes in, each with the output through which it leaves."""
    return dict(zip((info.name for info in state_infos(shape, "0")), (info.name for info in state_infos(shape, "n"))))


def state_infos(shape: Architecture, end: str) -> list[ValueInfoProto]:
    """The state before (`end` "0") or after ("n") the tokens."""
    if stacked(shape):
        named = [("", len(shape.hidden_sizes), shape.hidden_sizes[0])]
    else:
        named = [(suffix(shape, layer), 1, size) for layer, size in enumerate(shape.hidden_sizes)]
    return [
        helper.make_tensor_value_info(f"{part}{end}{name}", TensorProto.FLOAT, [layers, "batch", size]) for part in parts(shape) for name, layers, size in named
    ]


def parts(shape: Architecture) -> str:
    """What the state of a layer consists of, a letter each."""
    return "hc" if shape.cell == "lstm" else "h"


def stacked(shape: Architecture) -> bool:
    """Whether the states of all layers form one tensor, of which each layer takes its slice."""
    return len(shape.hidden_sizes) > 1 and len(set(shape.hidden_sizes)) == 1


def suffix(shape: Architecture, layer: int) -> str:
    """What distinguishes the states of layers."""
    return f"_l{layer}" if len(shape.hidden_sizes) > 1 else ""


def taken(part: str, layer: int) -> NodeProto:
    """The state of one layer out of that of all."""
    return helper.make_node("Slice", [f"{part}0", f"at_{layer}", f"at_{layer + 1}", "at_0"], [f"{part}0_l{layer}"])


def layer_nodes(shape: Architecture, layer: int, weights: Initializers) -> list[NodeProto]:
    """One layer: `outputs_l{layer}` `[steps, batch, hidden]` from the outputs of the layer below."""
    before, after = ([f"{part}{end}{suffix(shape, layer)}" for part in parts(shape)] for end in "0n")
    cell = cell_node(shape, layer, weights, before, [f"directions_l{layer}", *after])
    # The axis that is dropped counts directions.
    return [cell, helper.make_node("Squeeze", [f"directions_l{layer}", "at_1"], [f"outputs_l{layer}"])]


def cell_node(shape: Architecture, layer: int, weights: Initializers, before: list[str], outputs: list[str]) -> NodeProto:
    """The operator of one layer; `before` names its initial state, zeros where there is none."""
    operator, attributes, _ = OPERATORS[shape.cell]
    attributes = attributes | ({"linear_before_reset": int(shape.gru_linear_before_reset)} if shape.cell == "gru" else {})
    attributes = attributes | gate_attributes(shape)
    below = f"outputs_l{layer - 1}" if layer > 0 else "outputs"
    own = [weights.used(f"rnn.{name}_l{layer}") for name in "WRB"]
    # The empty name stands for `sequence_lens`, which is left out.
    inputs = [below, *own, *(["", *before] if before else [])]
    return helper.make_node(operator, inputs, outputs, hidden_size=shape.hidden_sizes[layer], **attributes)


def gate_attributes(shape: Architecture) -> dict[str, object]:
    """What a node says of its gates, where their function is not the usual one: alpha and beta are those of HardSigmoid alone, which comes first."""
    if shape.gate_activation not in HARD_SLOPES:
        return {}
    others = {"gru": ["Tanh"], "lstm": ["Tanh", "Tanh"]}[shape.cell]
    return {"activations": ["HardSigmoid", *others], "activation_alpha": [HARD_SLOPES[shape.gate_activation]], "activation_beta": [0.5]}


def output_nodes(shape: Architecture, hidden: str, weights: Initializers) -> list[NodeProto]:
    """The affine output layer, from `hidden` to the logits."""
    table = weights.used("encoder.weight" if shape.tie_weights else "decoder.weight")
    return [
        helper.make_node("Transpose", [table], ["projection"], perm=[1, 0]),
        helper.make_node("MatMul", [hidden, "projection"], ["scores"]),
        helper.make_node("Add", ["scores", weights.used("decoder.bias")], [LOGITS]),
    ]


def constants(shape: Architecture) -> list[TensorProto]:
    """The axes and places that nodes refer to."""
    places = len(shape.hidden_sizes) if stacked(shape) else 1
    return [constant(place) for place in range(places + 1)]


def constant(place: int) -> TensorProto:
    """One axis or place."""
    return numpy_helper.from_array(numpy.array([place], numpy.int64), f"at_{place}")


def operator_weights(shape: Architecture, tensors: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """Stored weights as the operators take them: W `[1, gates * hidden, in]`, R `[1, gates * hidden, hidden]`, B `[1, 2 * gates * hidden]`.

    Biases that are absent become zeros.
    """
    _, _, order = OPERATORS[shape.cell]
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("rnn.")}
    kept.setdefault("decoder.bias", numpy.zeros(shape.vocab_size, numpy.float32))
    for layer in range(len(shape.hidden_sizes)):
        w_ih = tensors[f"rnn.weight_ih_l{layer}"]
        no_bias = numpy.zeros(len(w_ih), numpy.float32)
        biases = [tensors.get(f"rnn.{name}_l{layer}", no_bias) for name in ("bias_ih", "bias_hh")]
        kept[f"rnn.W_l{layer}"] = reordered(w_ih, order)[None]
        kept[f"rnn.R_l{layer}"] = reordered(tensors[f"rnn.weight_hh_l{layer}"], order)[None]
        kept[f"rnn.B_l{layer}"] = numpy.concatenate([reordered(bias, order) for bias in biases])[None]
    return kept


def stored_weights(cell: str, layer: int, operator: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """The inverse of `operator_weights` for one layer: from W, R and B (which may be absent) to the names that the server reads."""
    _, _, order = OPERATORS[cell]
    inverse = [order.index(place) for place in range(len(order))]
    own = {"weight_ih": operator["W"][0], "weight_hh": operator["R"][0]}
    if "B" in operator:
        own["bias_ih"], own["bias_hh"] = numpy.split(operator["B"][0], 2)
    return {f"rnn.{name}_l{layer}": reordered(tensor, inverse) for name, tensor in own.items()}


def reordered(tensor: numpy.ndarray, order: list[int]) -> numpy.ndarray:
    """The gates, which have equally many rows, in another order."""
    gates = numpy.split(tensor, len(order))
    return numpy.concatenate([gates[place] for place in order])
