"""A graph under construction, including the operators whose form depends on the opset."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The version of the file format that came with each opset. ONNX Runtime refuses versions newer than its own.
IR_VERSIONS = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}

Name = str


class Graph:
    def __init__(self, opset: int = 17, ir_version: int | None = None) -> None:
        self.opset = opset
        self.ir_version = ir_version or IR_VERSIONS.get(opset, 10)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.names = 0
        self.constants_as_nodes = False

    def fresh(self, stem: str) -> Name:
        self.names += 1
        return f"{stem}_{self.names}"

    def input(self, name: Name, shape: list[int | str], element: int = TensorProto.FLOAT) -> Name:
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def output(self, value: Name, name: Name, shape: list[int | str] | None = None, element: int = TensorProto.FLOAT) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))

    def constant(self, values: Any, name: Name | None = None, dtype: Any = None) -> Name:
        array = np.asarray(values, dtype)
        name = name or self.fresh("constant")
        return self.tensor(numpy_helper.from_array(array, name))

    def tensor(self, tensor: onnx.TensorProto) -> Name:
        if self.constants_as_nodes:
            self.nodes.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
        else:
            self.initializers.append(tensor)
        return tensor.name

    def op(self, kind: str, *inputs: Name, name: Name = "", to: Name | None = None, **attributes: Any) -> Name:
        """Adds a node with one output."""
        return self.ops(kind, *inputs, name=name, to=[to or self.fresh(kind.lower())], **attributes)[0]

    def cast(self, value: Name, element: int) -> Name:
        name = self.fresh("cast")
        self.nodes.append(helper.make_node("Cast", [value], [name], to=element))
        return name

    def ops(self, kind: str, *inputs: Name, name: Name = "", to: list[Name], **attributes: Any) -> list[Name]:
        """Adds a node with any number of outputs."""
        self.nodes.append(helper.make_node(kind, list(inputs), to, name=name, **attributes))
        return to

    def squeeze(self, value: Name, *axes: int) -> Name:
        return self.axes_op("Squeeze", value, axes)

    def unsqueeze(self, value: Name, *axes: int) -> Name:
        return self.axes_op("Unsqueeze", value, axes)

    def axes_op(self, kind: str, value: Name, axes: tuple[int, ...]) -> Name:
        if self.opset >= 13:
            return self.op(kind, value, self.constant(axes, dtype=np.int64))
        return self.op(kind, value, axes=axes)

    def reduce(self, kind: str, value: Name, axes: tuple[int, ...], keepdims: int = 0) -> Name:
        """ReduceMean or ReduceMax, whose axes became an input in opset 18."""
        if self.opset >= 18:
            return self.op(kind, value, self.constant(axes, dtype=np.int64), keepdims=keepdims)
        return self.op(kind, value, axes=axes, keepdims=keepdims)

    def slice(self, value: Name, axis: int, start: int, end: int) -> Name:
        if self.opset < 10:
            return self.op("Slice", value, axes=[axis], starts=[start], ends=[end])
        return self.op("Slice", value, *(self.constant([x], dtype=np.int64) for x in (start, end, axis)))

    def split(self, value: Name, axis: int, sizes: list[int]) -> list[Name]:
        to = [self.fresh("split") for _ in sizes]
        if self.opset < 13:
            return self.ops("Split", value, to=to, axis=axis, split=sizes)
        return self.ops("Split", value, self.constant(sizes, dtype=np.int64), to=to, axis=axis)

    def model(self, producer: str = "by-hand", version: str = "1", **metadata: str) -> onnx.ModelProto:
        inputs = list(self.inputs)
        if self.ir_version < 4:  # Before version 4 every initialiser is also an input.
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.initializers]
        graph = helper.make_graph(self.nodes, "model", inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == "com.microsoft" for node in self.nodes):
            opsets.append(helper.make_opsetid("com.microsoft", 1))
        model = helper.make_model(graph, producer_name=producer, producer_version=version, opset_imports=opsets)
        model.ir_version = self.ir_version
        helper.set_model_props(model, metadata)
        return model
