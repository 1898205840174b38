"""Files quantised with scales of their own for activations (QDQ and QOperator), and with weights of a few bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from case import Case
from network import Network
from quantised import SIZES, SIZES_2, by_hand, optimised, pruned
from recurrent import Form

# Between integers and floats, relative to the largest logit: activations are rounded too.
RUNTIME_TOLERANCE = 0.05


def cases() -> Iterator[Case]:
    lstm, gru = Network("lstm", **SIZES), Network("gru", **SIZES_2)
    qdq, operators = QuantFormat.QDQ, QuantFormat.QOperator
    yield scaled("lstm-qdq", by_hand(lstm, Form()), qdq)
    yield scaled("lstm-qdq-per-channel", by_hand(lstm, Form()), qdq, per_channel=True)
    yield scaled("gru-2-qdq-gemm", by_hand(gru, Form(head="gemm")), qdq, op_types_to_quantize=["Gather", "Gemm"])
    yield scaled("gru-2-qdq-probabilities", by_hand(gru, Form(values="probabilities")), qdq, op_types_to_quantize=["MatMul", "Add"])
    yield scaled("lstm-qdq-one-hot", by_hand(lstm, Form(embedding="onehot")), qdq)
    yield scaled("lstm-operators", by_hand(lstm, Form()), operators, op_types_to_quantize=["MatMul", "Add"])
    yield scaled("gru-2-operators-gemm", by_hand(gru, Form(head="gemm")), operators, op_types_to_quantize=["Gemm"])
    for bits in (4, 8):
        for zeros in (False, True):
            name = f"lstm-weights-of-{bits}-bits" + ("-zeros" if zeros else "")
            yield few_bits(name, by_hand(Network("lstm", (20,), embedding_size=6, vocab_size=17), Form()), bits, zeros)


class Tokens(CalibrationDataReader):
    """A few random texts, from the zero state."""

    def __init__(self, case: Case) -> None:
        random = np.random.default_rng(5)
        shapes = {port.name: [d.dim_value for d in port.type.tensor_type.shape.dim] for port in case.model.graph.input}
        feeds = []
        for _ in range(16):
            feed = {"x": random.integers(case.network.vocab_size, size=(24, 1))}
            for name, shape in shapes.items():
                if name != "x":
                    feed[name] = random.uniform(-0.5, 0.5, [size or 1 for size in shape]).astype(np.float32)
            feeds.append(feed)
        self.feeds = iter(feeds)

    def get_next(self) -> dict | None:
        return next(self.feeds, None)


def scaled(name: str, case: Case, form: QuantFormat, **options) -> Case:
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(case.model, before)
        options = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8} | options
        quantize_static(before, after, Tokens(case), quant_format=form, **options)
        model = onnx.load(after)
    reference = floats_of(model)
    # Only logits are compared with those of the integers.
    tolerance = RUNTIME_TOLERANCE if case.ports.values == "logits" else None
    return Case(name, model, "lowered", ports=case.ports, reference=reference, runtime_tolerance=tolerance)


def floats_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with dequantised weights, in which no activation is rounded."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

    def add(name: str, array: np.ndarray) -> str:
        if name not in values:
            values[name] = np.ascontiguousarray(array, np.float32)
            graph.initializer.append(numpy_helper.from_array(values[name], name))
        return name

    def floats(name: str, scale: np.ndarray, zero: np.ndarray, axis: int) -> np.ndarray:
        along = [-1 if at == axis % values[name].ndim else 1 for at in range(values[name].ndim)]
        scale, zero = (part.reshape(along) if part.ndim == 1 and part.size > 1 else part for part in (scale, zero))
        return (values[name].astype(np.float32) - zero.astype(np.float32)) * scale

    for node in list(graph.node):
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        scales = [values.get(name, np.zeros(())) for name in node.input]
        if node.op_type == "QuantizeLinear":
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], node.output))
        elif node.op_type == "DequantizeLinear" and node.input[0] in values:
            name = add(f"{node.input[0]}_floats", floats(node.input[0], *scales[1:3], attributes.get("axis", 1)))
            node.CopyFrom(helper.make_node("Identity", [name], node.output))
        elif node.op_type == "DequantizeLinear":
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], node.output))
        elif node.op_type in ("QLinearMatMul", "QLinearAdd"):
            name = add(f"{node.input[3]}_floats", floats(node.input[3], *scales[4:6], -1))
            node.CopyFrom(helper.make_node({"QLinearMatMul": "MatMul", "QLinearAdd": "Add"}[node.op_type], [node.input[0], name], node.output))
        elif node.op_type == "QGemm":
            axis = 0 if attributes.get("transB") else 1
            name = add(f"{node.input[3]}_floats", floats(node.input[3], *scales[4:6], axis))
            bias = add(f"{node.input[6]}_floats", values[node.input[6]].astype(np.float32) * (scales[1] * scales[4]))
            node.CopyFrom(helper.make_node("Gemm", [node.input[0], name, bias], node.output, transB=attributes.get("transB", 0)))
    return pruned(found)


def few_bits(name: str, case: Case, bits: int, zeros: bool) -> Case:
    return Case(name, with_few_bits(case.model, "decoder_T", bits, zeros), "lowered", ports=case.ports)


def with_few_bits(model: onnx.ModelProto, matrix_name: str, bits: int, zeros: bool) -> onnx.ModelProto:
    """The output layer with weights of a few bits in blocks of 16 features."""
    graph, block = model.graph, 16
    matrix = next(tensor for tensor in graph.initializer if tensor.name == matrix_name)
    weights = numpy_helper.to_array(matrix).T
    columns, depth = weights.shape
    blocks = -(-depth // block)
    padded = np.zeros((columns, blocks * block), np.float32)
    padded[:, :depth] = weights
    parts = padded.reshape(columns, blocks, block)
    low, high, top = parts.min(-1), parts.max(-1), 2**bits - 1
    if zeros:
        scale = (np.maximum(high, 0) - np.minimum(low, 0)) / top
        zero = np.round(-np.minimum(low, 0) / scale).astype(np.uint8)
    else:
        scale = np.abs(parts).max(-1) / (2 ** (bits - 1) - 1)
        zero = np.full(scale.shape, 2 ** (bits - 1), np.uint8)
    numbers = np.clip(np.round(parts / scale[..., None]) + zero[..., None], 0, top).astype(np.uint8)
    packed = numbers if bits == 8 else numbers[..., 0::2] | numbers[..., 1::2] << 4
    if bits == 4:
        zero = np.pad(zero, ((0, 0), (0, blocks % 2)))
        zero = zero[:, 0::2] | zero[:, 1::2] << 4
    inputs = {"B": packed, "scales": scale.reshape(-1).astype(np.float32)} | ({"zero_points": zero.reshape(-1)} if zeros else {})
    graph.initializer.remove(matrix)
    graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(value), f"decoder_{key}") for key, value in inputs.items())
    node = next(node for node in graph.node if matrix_name in node.input)
    names = [node.input[0], *(f"decoder_{key}" for key in inputs)]
    attributes = {"K": depth, "N": columns, "bits": bits, "block_size": block}
    node.CopyFrom(helper.make_node("MatMulNBits", names, node.output, name="decoder", domain="com.microsoft", **attributes))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model
