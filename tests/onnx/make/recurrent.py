"""Language models built by hand, in the forms that exporters have used over the years."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from case import Part, Ports
from graph import Graph, Name
from network import Network, Weights, onnx_layer

OPS = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "rnn_sigmoid": "RNN", "gru": "GRU", "lstm": "LSTM"}
ELEMENTS = {"f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


@dataclass(frozen=True)
class Form:
    """How a network is written as a graph."""

    opset: int = 17
    ir_version: int | None = None
    time_major: bool = True
    """Whether the ids are `[T, B]`."""
    layout: int = 0
    """The attribute of the recurrent nodes."""
    ids: str = "int64"
    """`int64`, `int32`, or `float` with a Cast inside; of one-hot vectors `float`, or `bool` with a Cast inside."""
    embedding: str = "gather"
    """`gather`; `onehot` with a MatMul; or one-hot vectors as the input `[.., .., V]`: `linear` with a MatMul, `none` without."""
    head: str = "matmul"
    """`matmul`, `gemm` on [T*B, H], `transposed` (a Transpose of `[V, H]`), `einsum`."""
    values: str = "logits"
    softmax_axis: int | None = -1
    positions: str = "all"
    """`all`; or the last: `slice`, `gather`, `hidden` (from Y_h)."""
    state: str = "stacked"
    """`stacked` `[L, B, H]`, `layers` `[1, B, H]` each, `flat` `[B, H]` each, `batch_first` `[B, L, H]`, or `lost`;
    `read_only` and `write_only` have only inputs or only outputs; `zeros` is a constant."""
    frozen: tuple[int | None, int | None] = (None, None)
    bias_input: bool = True
    sequence_lens: tuple[int, int] | None = None
    """A constant: the number of sequences, and the length of each."""
    constants_as_nodes: bool = False
    identities: bool = False
    """Whether weights are behind an Identity and a Dropout."""
    producer: str = "by-hand"
    version: str = "1"
    attributes: tuple[tuple[str, Any], ...] = ()
    """Additional attributes of every recurrent node."""

    def ports(self, network: Network) -> Ports:
        state = {"read_only": "stacked", "write_only": "stacked"}.get(self.state, self.state)
        form = {"stacked": "LBH", "layers": "LBH", "flat": "BH", "batch_first": "BLH"}.get(state)
        parts = []
        for kind in network.kinds if form else ():
            if state in ("stacked", "batch_first"):
                parts.append(Part(f"{kind}0", f"{kind}n", kind, tuple(range(network.layers)), form))
            else:
                for k in range(network.layers):
                    parts.append(Part(f"{kind}{k}_in", f"{kind}{k}_out", kind, (k,), form))
        if self.state == "read_only":
            parts = [replace(part, output=None) for part in parts]
        if self.state == "write_only":
            parts = [replace(part, input=None) for part in parts]
        ids = {"int64": np.int64, "int32": np.int32, "float": np.float32, "bool": np.bool_}[self.ids]
        positions = "steps" if self.positions == "all" else "last"
        if self.head == "gemm" and self.positions == "all":
            positions = "flat"
        one_hot = network.vocab_size if self.takes_vectors() else 0
        return Ports("x", "y", self.time_major, ids, self.values, positions, tuple(parts), one_hot=one_hot)

    def takes_vectors(self) -> bool:
        return self.embedding in ("linear", "none")


def build(network: Network, form: Form = Form(), weights: Weights | None = None) -> onnx.ModelProto:
    return Builder(network, form, weights or network.weights()).model()


class Builder:
    def __init__(self, network: Network, form: Form, weights: Weights) -> None:
        self.network, self.form, self.weights = network, form, weights
        self.graph = Graph(form.opset, form.ir_version)
        self.graph.constants_as_nodes = form.constants_as_nodes
        time, batch = form.frozen
        self.time, self.batch = time or "T", batch or "B"
        self.carried: dict[str, list[Name]] = {kind: [] for kind in network.kinds}

    def model(self) -> onnx.ModelProto:
        graph, form = self.graph, self.form
        x = self.embedded()
        if form.time_major != (form.layout == 0):
            x = graph.op("Transpose", x, perm=[1, 0, 2])
        for k in range(self.network.layers):
            x = self.layer(k, x)
        self.head(x)
        self.states_out()
        return graph.model(form.producer, form.version)

    def embedded(self) -> Name:
        """The embedded ids `[.., .., E]`, in the order of the ids."""
        graph, form, network = self.graph, self.form, self.network
        shape = [self.time, self.batch] if form.time_major else [self.batch, self.time]
        element = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "float": TensorProto.FLOAT, "bool": TensorProto.BOOL}[form.ids]
        if form.takes_vectors():
            return self.vectors(shape)
        ids = graph.input("x", shape, element)
        if form.ids == "float":
            ids = self.cast(ids, TensorProto.INT64)
        self.table = table = self.weight("embedding", self.weights["encoder.weight"])
        if form.embedding == "gather":
            return graph.op("Gather", table, ids, axis=0)
        depth = graph.constant([network.vocab_size], dtype=np.int64)
        ones = graph.op("OneHot", ids, depth, graph.constant([0, 1], dtype=np.float32), axis=-1)
        return graph.op("MatMul", ones, table)

    def vectors(self, shape: list[int | str]) -> Name:
        """An input of one-hot vectors, times the embedding where there is one."""
        graph, form = self.graph, self.form
        element = TensorProto.BOOL if form.ids == "bool" else TensorProto.FLOAT
        x = graph.input("x", [*shape, self.network.vocab_size], element)
        x = self.cast(x, TensorProto.FLOAT) if form.ids == "bool" else x
        if form.embedding == "none":
            return x
        self.table = self.weight("embedding", self.weights["encoder.weight"])
        return graph.op("MatMul", x, self.table)

    def cast(self, value: Name, element: int) -> Name:
        to = self.graph.fresh("cast")
        self.graph.nodes.append(helper.make_node("Cast", [value], [to], to=element))
        return to

    def weight(self, name: Name, values: np.ndarray) -> Name:
        """Adds a float32 value that is stored in the network's dtype."""
        graph, dtype = self.graph, self.network.dtype
        if dtype == "f32":
            value = graph.constant(values, name)
        else:
            element = ELEMENTS[dtype]
            stored = values.astype(helper.tensor_dtype_to_np_dtype(element))
            value = self.cast(graph.constant(stored, name), element=TensorProto.FLOAT)
        if self.form.identities:
            value = graph.op("Dropout", graph.op("Identity", value))
        return value

    def layer(self, k: int, x: Name) -> Name:
        """Adds a layer; returns h at every step, in the node's layout."""
        graph, form, network = self.graph, self.form, self.network
        w, r, b = onnx_layer(network, self.weights, k)
        inputs = [x, self.weight(f"W{k}", w), self.weight(f"R{k}", r)]
        inputs.append(self.weight(f"B{k}", b) if b is not None else "")
        inputs.append(graph.constant(np.full(*form.sequence_lens, np.int32), f"lens{k}") if form.sequence_lens else "")
        inputs += [self.state_in(kind, k) for kind in network.kinds]
        while inputs[-1] == "":
            inputs.pop()
        attributes: dict[str, Any] = {"hidden_size": network.hidden_sizes[k]}
        if form.layout:
            attributes["layout"] = 1
        if network.cell in ("rnn_relu", "rnn_sigmoid"):
            attributes["activations"] = [network.cell.removeprefix("rnn_").capitalize()]
        if network.cell == "gru" and network.reset_after:
            attributes["linear_before_reset"] = 1
        if network.gates != "sigmoid":
            attributes["activations"] = ["HardSigmoid", *["Tanh"] * (2 if network.cell == "lstm" else 1)]
            attributes |= {"activation_alpha": [network.slope], "activation_beta": [0.5]}
        attributes |= dict(form.attributes)
        outputs = [f"Y{k}"] + [f"Y_{kind}{k}" for kind in network.kinds]
        graph.ops(OPS[network.cell], *inputs, name=f"layer{k}", to=outputs, **attributes)
        for kind, name in zip(network.kinds, outputs[1:]):
            self.carried[kind].append(name)
        return graph.squeeze(outputs[0], 2 if form.layout else 1)

    def state_in(self, kind: str, k: int) -> Name:
        """The initial state of a layer in the form that its node takes: `[1, B, H]`, or `[B, 1, H]` with layout 1."""
        graph, form = self.graph, self.form
        hidden, layers = self.network.hidden_sizes[k], self.network.layers
        if form.state in ("lost", "write_only"):
            return ""
        if form.state == "zeros":
            return graph.constant(np.zeros((1, form.frozen[1], hidden), np.float32))
        if form.state in ("stacked", "read_only", "batch_first"):
            stacked = form.state != "batch_first"
            if k == 0:
                graph.input(f"{kind}0", [layers, self.batch, hidden] if stacked else [self.batch, layers, hidden])
            share = graph.slice(f"{kind}0", 0 if stacked else 1, k, k + 1) if layers > 1 else f"{kind}0"
            return graph.op("Transpose", share, perm=[1, 0, 2]) if stacked != (form.layout == 0) else share
        shape = [self.batch, hidden] if form.state == "flat" else [1, self.batch, hidden]
        whole = graph.input(f"{kind}{k}_in", shape)
        if form.state == "flat":
            return graph.unsqueeze(whole, form.layout)
        return graph.op("Transpose", whole, perm=[1, 0, 2]) if form.layout else whole

    def states_out(self) -> None:
        graph, form = self.graph, self.form
        if form.state in ("lost", "read_only", "zeros"):
            return
        for kind, names in self.carried.items():
            if form.state in ("stacked", "write_only", "batch_first"):
                names = names if len(names) == 1 else [graph.op("Concat", *names, axis=form.layout)]
            for k, name in enumerate(names):
                stacked = form.state in ("stacked", "write_only", "batch_first")
                to = f"{kind}n" if stacked else f"{kind}{k}_out"
                if form.state == "flat":
                    name = graph.squeeze(name, form.layout)
                elif (form.state == "batch_first") != (form.layout == 1):
                    name = graph.op("Transpose", name, perm=[1, 0, 2])
                hidden, layers = self.network.hidden_sizes[k], self.network.layers
                shape = {"flat": [self.batch, hidden], "batch_first": [self.batch, layers, hidden]}
                graph.output(name, to, shape.get(form.state, [layers if stacked else 1, self.batch, hidden]))

    def head(self, x: Name) -> None:
        """Adds the output layer: from h in the layout of the nodes to the logits in the order of the ids."""
        graph, form, network = self.graph, self.form, self.network
        axis = 1 if form.layout else 0
        shape: list[int | str] = [self.time, self.batch] if form.time_major else [self.batch, self.time]
        if form.positions == "hidden":
            x, shape = graph.squeeze(self.carried["h"][-1], form.layout), [self.batch]
        elif form.positions == "gather":
            x, shape = graph.op("Gather", x, graph.constant(-1, dtype=np.int64), axis=axis), [self.batch]
        elif form.positions == "slice":
            x = graph.slice(x, axis, -1, np.iinfo(np.int64).max)
            x, shape = graph.squeeze(x, axis), [self.batch]
        elif form.time_major != (form.layout == 0):
            x = graph.op("Transpose", x, perm=[1, 0, 2])
        y = self.affine(x, len(shape))
        if form.head == "gemm" and len(shape) == 2:
            shape = ["N"]
        if form.values != "logits":
            kind = {"log": "LogSoftmax", "probabilities": "Softmax"}[form.values]
            attributes = {} if form.softmax_axis is None else {"axis": form.softmax_axis}
            if form.softmax_axis == -1 and form.opset < 11:
                attributes = {"axis": len(shape)}
            y = graph.op(kind, y, name="normalise", **attributes)
        graph.output(y, "y", [*shape, network.vocab_size])

    def affine(self, x: Name, rank: int) -> Name:
        graph, form, network = self.graph, self.form, self.network
        bias = self.weights.get("decoder.bias")
        matrix = self.weights["encoder.weight" if network.tied else "decoder.weight"]
        if form.head == "gemm":
            if rank == 2:
                x = graph.op("Reshape", x, graph.constant([-1, network.hidden_sizes[-1]], dtype=np.int64))
            inputs = [x, self.matrix(matrix)] + ([self.weight("decoder_bias", bias)] if bias is not None else [])
            return graph.op("Gemm", *inputs, name="decoder", transB=1)
        if form.head == "transposed":
            y = graph.op("MatMul", x, graph.op("Transpose", self.matrix(matrix), perm=[1, 0]), name="decoder")
        elif form.head == "einsum":
            y = graph.op("Einsum", x, self.matrix(matrix), name="decoder", equation="tbh,vh->tbv")
        else:
            y = graph.op("MatMul", x, self.weight("decoder_T", np.ascontiguousarray(matrix.T)), name="decoder")
        return y if bias is None else graph.op("Add", y, self.weight("decoder_bias", bias))

    def matrix(self, values: np.ndarray) -> Name:
        """The weights of the output layer, `[V, H]`: the embedding itself if they are tied."""
        return self.table if self.network.tied else self.weight("decoder", values)
