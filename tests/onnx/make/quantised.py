"""Files with ONNX Runtime's dynamic quantisation, and the same graphs with the weights dequantised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from case import RUNTIME_LOGS_FATAL, Case
from network import Network
from pytorch import Style, torchscript
from recurrent import Form, build

# Tolerance between products in integers and in floats, relative to the largest logit.
RUNTIME_TOLERANCE = 0.02

# Wider than elsewhere, because the rounding of activations averages out over a sum.
SIZES = {"hidden_sizes": (8,), "embedding_size": 6, "vocab_size": 17}
SIZES_2 = SIZES | {"hidden_sizes": (8, 8)}


def cases() -> Iterator[Case]:
    for signed in (True, False):
        for per_channel in (False, True):
            suffix = ("int8" if signed else "uint8") + ("-per-channel" if per_channel else "")
            options = {"weight_type": QuantType.QInt8 if signed else QuantType.QUInt8, "per_channel": per_channel}
            yield quantised(f"torchscript-lstm-2-{suffix}", torchscript("", Network("lstm", **SIZES_2), Style()), **options)
            yield quantised(f"lstm-{suffix}", by_hand(Network("lstm", **SIZES), Form()), **options)
            yield quantised(f"gru-{suffix}", by_hand(Network("gru", **SIZES), Form()), **options)
    yield quantised("torchscript-gru-2", torchscript("", Network("gru", **SIZES_2), Style()))
    yield quantised("rnn_relu-gemm", by_hand(Network("rnn_relu", **SIZES), Form(head="gemm")))
    yield quantised("lstm-reduced-range", by_hand(Network("lstm", **SIZES), Form()), reduce_range=True)
    yield quantised("lstm-bt-lost-opset13", by_hand(Network("lstm", **SIZES), Form(opset=13, time_major=False, state="lost")))
    yield quantised("lstm-recurrence-alone", by_hand(Network("lstm", **SIZES), Form()), op_types_to_quantize=["LSTM"])
    yield quantised("lstm-products-alone", by_hand(Network("lstm", **SIZES), Form()), op_types_to_quantize=["MatMul"])
    for network in (Network("lstm", **SIZES), Network("gru", **SIZES)):
        # The file of a session that saved its optimised graph, in which the integer nodes are fused.
        whole = quantised(f"{network.cell}-optimised", by_hand(network, Form()))
        whole.model = optimised(whole.model)
        yield whole
        plain = by_hand(network, Form())
        plain.name, plain.model = f"{network.cell}-optimised-floats", optimised(plain.model)
        yield plain
    for axis in (None, 1):
        yield weights_alone(f"lstm-dequantize-linear{'' if axis is None else '-per-axis'}", axis)


def by_hand(network: Network, form: Form) -> Case:
    return Case("", build(network, form), "lowered", network, form.ports(network))


def quantised(name: str, case: Case, **options) -> Case:
    model = in_integers(case.model, **options)
    reference = dequantised(model)
    return Case(
        name, model, case.outcome, ports=case.ports, says=case.says, reference=reference, runtime_tolerance=RUNTIME_TOLERANCE
    )


def in_integers(model: onnx.ModelProto, **options) -> onnx.ModelProto:
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        quantize_dynamic(before, after, **options)
        return onnx.load(after)


def optimised(model: onnx.ModelProto, level: str = "EXTENDED") -> onnx.ModelProto:
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = RUNTIME_LOGS_FATAL
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def dequantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in floats: recurrent nodes and products get the dequantised values."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made = {output: node for node in graph.node for output in node.output}
    users = {name: node for node in graph.node for name in node.input}

    def add(name: str, array: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def floats(quantised: str, scale: str, zero_point: str) -> np.ndarray:
        q, s, z = values[quantised].astype(np.float32), values[scale], values[zero_point].astype(np.float32)
        if s.ndim == 2:  # A scale for every column of `[1, rows, columns]`.
            s, z = s[:, None], z[:, None]
        return (q - z) * s

    for node in list(graph.node):
        if node.op_type == "DynamicQuantizeLSTM":
            w, r = floats(node.input[1], *node.input[8:10]), floats(node.input[2], *node.input[10:12])
            names = [add(f"{node.name}_{kind}", value.transpose(0, 2, 1)) for kind, value in (("W", w), ("R", r))]
            lstm = helper.make_node("LSTM", [node.input[0], *names, *node.input[3:7]], node.output, node.name)
            lstm.attribute.extend(node.attribute)
            node.CopyFrom(lstm)
        elif node.op_type == "MatMulInteger":
            product = users[users[node.output[0]].output[0]]
            scales = next(made[name] for name in product.input if made.get(name) and made[name].op_type == "Mul")
            scale = next(name for name in scales.input if name in values)
            matrix = add(f"{node.name}_B", floats(node.input[1], scale, node.input[3]))
            source = made[node.input[0]].input[0]
            product.CopyFrom(helper.make_node("MatMul", [source, matrix], product.output))
    return pruned(found)


def pruned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes the nodes whose outputs are no longer read."""
    graph = model.graph
    while True:
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        dead = [node for node in graph.node if not read & set(node.output)]
        if not dead:
            return model
        for node in dead:
            graph.node.remove(node)


def weights_alone(name: str, axis: int | None) -> Case:
    """int8 weights behind DequantizeLinear, and floats everywhere else, so that lowering loses nothing."""
    network, form = Network("lstm", **SIZES), Form()
    model = build(network, form)
    graph = model.graph
    for tensor in [tensor for tensor in graph.initializer if tensor.name in ("W0", "R0", "embedding")]:
        values = numpy_helper.to_array(tensor)
        along = None if axis is None or values.ndim < 3 else axis
        axes = tuple(i for i in range(values.ndim) if i != along) if along is not None else None
        scale = np.asarray(np.abs(values).max(axis=axes) / 127, np.float32)
        shape = [-1 if i == along else 1 for i in range(values.ndim)] if along is not None else []
        integers = np.round(values / scale.reshape(shape)).astype(np.int8)
        graph.initializer.remove(tensor)
        parts = {"integers": integers, "scale": scale, "zero": np.zeros(scale.shape, np.int8)}
        graph.initializer.extend(numpy_helper.from_array(part, f"{tensor.name}_{key}") for key, part in parts.items())
        inputs = [f"{tensor.name}_{key}" for key in parts]
        attributes = {} if along is None else {"axis": along}
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [tensor.name], **attributes))
    return Case(name, model, "lowered", ports=form.ports(network))
