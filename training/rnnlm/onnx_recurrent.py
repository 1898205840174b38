"""A recurrent network as an ONNX graph with its state exposed.

`tokens` int64 `[steps, batch]` and the state before them, to `logits` `[steps, batch, vocabulary]` and the state after them. Steps and
batch may be any. Where all layers are of one size the state is `h0` `[layers, batch, hidden]` to `hn`, and `c0` to `cn` for an LSTM; else
every layer has its own, `h0_l0` `[1, batch, hidden]` to `hn_l0` and so on.
"""

from __future__ import annotations

import numpy
import torch
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from . import onnx_file
from .model import Architecture, RnnLm, stored_weights
from .onnx_file import LOGITS, TOKENS, Initialisers

# The operator of each cell with its attributes, and for each of its gates in ONNX's order the place in PyTorch's:
# i o f c of i f g o, and z r h of r z n.
OPERATORS = {
    "rnn_tanh": ("RNN", {"activations": ["Tanh"]}, [0]),
    "rnn_relu": ("RNN", {"activations": ["Relu"]}, [0]),
    "gru": ("GRU", {"linear_before_reset": 1}, [1, 0, 2]),
    "lstm": ("LSTM", {}, [0, 3, 1, 2]),
}


def to_bytes(model: RnnLm, dtype: torch.dtype) -> bytes:
    """The content of the file, with weights stored as `dtype`."""
    shape = model.architecture
    weights = Initialisers(operator_weights(shape, stored_weights(model)), dtype)
    layers = range(len(shape.hidden_sizes))
    table = weights.used("encoder.weight" if shape.tie_weights else "decoder.weight")
    graph = helper.make_graph(
        [
            *weights.casts,
            helper.make_node("Gather", [weights.used("encoder.weight"), TOKENS], ["outputs"], axis=0),
            *(taken(part, layer) for part in parts(shape) for layer in layers if stacked(shape)),
            *(node for layer in layers for node in layer_nodes(shape, layer, weights)),
            *(helper.make_node("Concat", [f"{part}n_l{layer}" for layer in layers], [f"{part}n"], axis=0) for part in parts(shape) if stacked(shape)),
            helper.make_node("Transpose", [table], ["projection"], perm=[1, 0]),
            helper.make_node("MatMul", [f"outputs_l{layers[-1]}", "projection"], ["scores"]),
            helper.make_node("Add", ["scores", weights.used("decoder.bias")], [LOGITS]),
        ],
        shape.cell,
        [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["steps", "batch"]), *state_infos(shape, "0")],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["steps", "batch", shape.vocab_size]), *state_infos(shape, "n")],
        [*weights.tensors, *constants(shape)],
    )
    return onnx_file.to_bytes(graph)


def state_pairs(shape: Architecture) -> dict[str, str]:
    """The inputs that the state comes in by, each with the output that it goes out by."""
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
    """Whether the states of all layers are one tensor, of which each takes its own."""
    return len(shape.hidden_sizes) > 1 and len(set(shape.hidden_sizes)) == 1


def suffix(shape: Architecture, layer: int) -> str:
    """What tells the states of layers apart."""
    return f"_l{layer}" if len(shape.hidden_sizes) > 1 else ""


def taken(part: str, layer: int) -> NodeProto:
    """The state of one layer out of that of all."""
    return helper.make_node("Slice", [f"{part}0", f"at_{layer}", f"at_{layer + 1}", "at_0"], [f"{part}0_l{layer}"])


def layer_nodes(shape: Architecture, layer: int, weights: Initialisers) -> list[NodeProto]:
    """One layer: `outputs_l{layer}` `[steps, batch, hidden]` from what the one below gives."""
    operator, attributes, _ = OPERATORS[shape.cell]
    below = f"outputs_l{layer - 1}" if layer > 0 else "outputs"
    own = [weights.used(f"rnn.{name}_l{layer}") for name in "WRB"]
    before, after = ([f"{part}{end}{suffix(shape, layer)}" for part in parts(shape)] for end in "0n")
    # No `sequence_lens`; the axis that is dropped counts directions.
    cell = helper.make_node(operator, [below, *own, "", *before], [f"directions_l{layer}", *after], hidden_size=shape.hidden_sizes[layer], **attributes)
    return [cell, helper.make_node("Squeeze", [f"directions_l{layer}", "at_1"], [f"outputs_l{layer}"])]


def constants(shape: Architecture) -> list[TensorProto]:
    """The axes and places that nodes name."""
    places = len(shape.hidden_sizes) if stacked(shape) else 1
    return [numpy_helper.from_array(numpy.array([place], numpy.int64), f"at_{place}") for place in range(places + 1)]


def operator_weights(shape: Architecture, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Stored weights as the operators take them: W `[1, gates * hidden, in]`, R `[1, gates * hidden, hidden]`, B `[1, 2 * gates * hidden]`."""
    _, _, order = OPERATORS[shape.cell]
    kept = {name: weight for name, weight in weights.items() if not name.startswith("rnn.")}
    for layer in range(len(shape.hidden_sizes)):
        own = {name: reordered(weights[f"rnn.{name}_l{layer}"], order) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        kept[f"rnn.W_l{layer}"] = own["weight_ih"][None]
        kept[f"rnn.R_l{layer}"] = own["weight_hh"][None]
        kept[f"rnn.B_l{layer}"] = torch.cat([own["bias_ih"], own["bias_hh"]])[None]
    return kept


def reordered(weight: torch.Tensor, order: list[int]) -> torch.Tensor:
    """The gates, of so many rows each, in another order."""
    gates = weight.chunk(len(order))
    return torch.cat([gates[place] for place in order])


def read_back(cell: str, found: dict[str, torch.Tensor]) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """The architecture and the stored weights in the initialisers of a file that `to_bytes` made."""
    _, _, order = OPERATORS[cell]
    inverse = [order.index(place) for place in range(len(order))]
    weights = {name: weight for name, weight in found.items() if name.startswith(("encoder.", "decoder."))}
    hidden_sizes = []
    while (name := f"rnn.R_l{len(hidden_sizes)}") in found:
        layer = len(hidden_sizes)
        bias_ih, bias_hh = found[f"rnn.B_l{layer}"][0].chunk(2)
        own = {"weight_ih": found[f"rnn.W_l{layer}"][0], "weight_hh": found[name][0], "bias_ih": bias_ih, "bias_hh": bias_hh}
        weights |= {f"rnn.{part}_l{layer}": reordered(weight, inverse) for part, weight in own.items()}
        hidden_sizes.append(found[name].shape[2])
    vocab_size, embedding_size = weights["encoder.weight"].shape
    shape = {"cell": cell, "vocab_size": vocab_size, "embedding_size": embedding_size, "hidden_sizes": hidden_sizes}
    return shape | {"tie_weights": "decoder.weight" not in weights}, weights
