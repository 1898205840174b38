"""The recurrent network inside an ONNX graph: an embedding, RNN, GRU or LSTM nodes, an affine layer, whatever glue stands between them.

Weights are found by their place in the graph. Then the graph and the network are run on the same tokens, and a graph that computes
anything else is refused.
"""

from __future__ import annotations

import pathlib

import numpy
import onnx
import onnxruntime
import torch
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from . import onnx_recurrent
from .architecture import HARD_SLOPES, described
from .errors import InputError
from .model import RnnLm, load_stored_weights

RECURRENT = ("RNN", "GRU", "LSTM")
ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
PLAIN_CELLS = {"Tanh": "rnn_tanh", "Relu": "rnn_relu", "Sigmoid": "rnn_sigmoid"}
# Of token ids, which some exporters take as floats.
TOKEN_TYPES = {"tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32, "tensor(float)": numpy.float32}
OTHER_TYPES = {"tensor(float16)": numpy.float16, "tensor(double)": numpy.float64, "tensor(int64)": numpy.int64}
FREE_STEPS = 4  # read where the graph does not fix how many
TOLERANCE = 1e-3


class Refused(InputError):
    """The graph is no such network."""

    def __init__(self, path: pathlib.Path, why: str) -> None:
        super().__init__(f"`{path}` cannot be read back into PyTorch: {why}. `rnnlm-server score` measures every model that the server loads")


def network_in(path: pathlib.Path, gru_linear_before_reset: bool | None) -> tuple[dict[str, object], dict[str, numpy.ndarray]]:
    """The architecture and the weights under the names that the server reads. A manifest may say which form a GRU has, against the graph."""
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx have no common class of errors
        raise InputError(f"`{path}` cannot be read as ONNX: {error}") from error
    try:
        constants = constant_values(model)
    except Exception as error:  # onnx and NumPy have none either
        raise Refused(path, f"its constants cannot be computed ({error})") from error
    nodes = [node for node in model.graph.node if node.op_type in RECURRENT]
    if not nodes:
        raise Refused(path, f"it has the nodes {', '.join(sorted({node.op_type for node in model.graph.node}))}, and no RNN, GRU or LSTM")
    cells = {cell_of(path, node) for node in nodes}
    gates = {gates_of(node) for node in nodes}
    forms = {bool(attributes(node).get("linear_before_reset", 0)) for node in nodes}
    if len(cells) > 1 or len(forms) > 1 or len(gates) > 1:
        raise Refused(path, "its layers are of different kinds")
    cell = cells.pop()
    tensors: dict[str, numpy.ndarray] = {}
    for layer, node in enumerate(nodes):
        operator = {name: constants[place] for name, place in zip("WRB", node.input[1:4]) if place in constants}
        if not {"W", "R"} <= operator.keys():
            raise Refused(path, f"the weights of `{node.name or node.op_type}` are not constant")
        tensors |= onnx_recurrent.stored_weights(cell, layer, operator)
    tensors |= ends(path, model.graph, constants)
    tied = tensors["decoder.weight"].shape == tensors["encoder.weight"].shape and numpy.array_equal(tensors["decoder.weight"], tensors["encoder.weight"])
    if tied:
        del tensors["decoder.weight"]
    vocab_size, embedding_size = tensors["encoder.weight"].shape
    hidden_sizes = [tensors[f"rnn.weight_hh_l{layer}"].shape[1] for layer in range(len(nodes))]
    shape = {"cell": cell, "vocab_size": vocab_size, "embedding_size": embedding_size, "hidden_sizes": hidden_sizes, "tie_weights": tied}
    shape["gru_linear_before_reset"] = forms.pop() if cell == "gru" else True
    shape["gate_activation"] = gates.pop()
    tensors = {name: tensor.astype(numpy.float32) for name, tensor in tensors.items()}
    network = RnnLm(described(shape)).eval()
    load_stored_weights(network, {name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    compare(path, model, network)
    if cell == "gru" and gru_linear_before_reset is not None:
        shape["gru_linear_before_reset"] = gru_linear_before_reset
    return shape, tensors


def attributes(node: NodeProto) -> dict[str, object]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def cell_of(path: pathlib.Path, node: NodeProto) -> str:
    """The cell of a node, if it is one that the server computes."""
    found = attributes(node)
    activations = [name.decode().capitalize() for name in found.get("activations", [])] or ACTIVATIONS[node.op_type]
    gates = gates_of(node)
    if gates in HARD_SLOPES:
        activations = ["Sigmoid", *activations[1:]]
        found = {name: value for name, value in found.items() if name not in ("activation_alpha", "activation_beta")}
    unusual = {"clip", "activation_alpha", "activation_beta"} & found.keys() or found.get("input_forget") or found.get("direction", b"forward") != b"forward"
    if node.op_type == "RNN" and activations[0] in PLAIN_CELLS and not unusual:
        return PLAIN_CELLS[activations[0]]
    if unusual or gates is None or activations != ACTIVATIONS[node.op_type] or len(node.input) > 7 and node.input[7]:
        raise Refused(path, f"the node `{node.name or node.op_type}` has attributes that PyTorch has no layer for")
    return node.op_type.lower()


def gates_of(node: NodeProto) -> str | None:
    """The function of a node's gates as the manifest calls it; None for a HardSigmoid that the server does not have."""
    found = attributes(node)
    names = found.get("activations") or [b"Sigmoid"]
    if node.op_type == "RNN" or names[0].lower() != b"hardsigmoid":
        return "sigmoid"
    slope, shift = (found.get(key, [default])[0] for key, default in (("activation_alpha", 0.2), ("activation_beta", 0.5)))
    return next((name for name, known in HARD_SLOPES.items() if shift == 0.5 and numpy.float32(slope) == numpy.float32(known)), None)


def constant_values(model: ModelProto) -> dict[str, numpy.ndarray]:
    """The arrays of a graph that depend on no input: exporters slice and transpose weights, and quantizers scale them."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    opsets = list(model.opset_import)
    for node in model.graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type in RECURRENT or any(attribute.HasField("g") for attribute in node.attribute) or not all(name in values for name in inputs):
            continue
        if node.op_type == "Shape" or not node.output:
            continue
        infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[name].dtype), values[name].shape) for name in inputs]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        single = helper.make_model(helper.make_graph([node], "one", infos, outputs), opset_imports=opsets)
        results = ReferenceEvaluator(single).run(None, {name: values[name] for name in inputs})
        values |= dict(zip(node.output, map(numpy.asarray, results)))
    return values


def ends(path: pathlib.Path, graph: GraphProto, constants: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """The embedding before the recurrent nodes, and the affine layer after them."""
    place = max(number for number, node in enumerate(graph.node) if node.op_type in RECURRENT)
    first = min(number for number, node in enumerate(graph.node) if node.op_type in RECURRENT)
    tables = [constants[node.input[0]] for node in graph.node[:first] if node.op_type == "Gather" and node.input[0] in constants and node.input[1] not in constants]
    tables = [table for table in tables if table.ndim == 2 and table.dtype.kind == "f"]
    products = [node for node in graph.node[place:] if node.op_type in ("MatMul", "Gemm") and node.input[1] in constants]
    if len(tables) != 1 or len(products) != 1:
        raise Refused(path, f"it has {len(tables)} embeddings and {len(products)} affine layers after the recurrent ones; expected one of each")
    (product,) = products
    weight = constants[product.input[1]]
    found = {"encoder.weight": tables[0], "decoder.weight": weight if attributes(product).get("transB") else weight.T}
    added = [name for node in graph.node[place:] if node.op_type == "Add" for name in node.input if name in constants]
    for name in [*product.input[2:3], *added]:
        if constants[name].size == len(found["decoder.weight"]):
            found["decoder.bias"] = constants[name].reshape(-1)
    return found


def compare(path: pathlib.Path, model: ModelProto, network: RnnLm) -> None:
    """Runs the graph and the network on the same tokens from a state of zeros."""
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString())
    except Exception as error:  # ONNX Runtime's errors have no common class that it documents
        raise Refused(path, f"ONNX Runtime cannot run it, so that nothing confirms its numbers: {error}") from error
    inputs = session.get_inputs()
    tokens = tokens_among(inputs)
    if tokens is None:
        raise Refused(path, f"its inputs are {', '.join(value.name for value in inputs)}, expected one of token ids `[batch, steps]` or `[steps, batch]`")
    vocab_size = network.architecture.vocab_size
    for time_axis in (0, 1):
        sizes = [size if isinstance(size, int) else FREE_STEPS if axis == time_axis else 1 for axis, size in enumerate(tokens.shape)]
        steps, batch = sizes[time_axis], sizes[1 - time_axis]
        ids = numpy.random.default_rng(1).integers(vocab_size, size=steps)
        feeds = {tokens.name: numpy.broadcast_to(ids[:, None] if time_axis == 0 else ids[None], sizes).astype(TOKEN_TYPES[tokens.type])}
        for value in inputs:
            if value.name != tokens.name:
                feeds[value.name] = numpy.zeros([size if isinstance(size, int) else batch for size in value.shape], OTHER_TYPES.get(value.type, numpy.float32))
        if any(agrees(output, expected_logprobs(network, ids)) for output in outputs(session, feeds)):
            return
    raise Refused(path, "it computes other numbers than its embedding, recurrent layers and affine layer would")


def tokens_among(inputs: list[onnxruntime.NodeArg]) -> onnxruntime.NodeArg | None:
    """The input of token ids: the one of whole numbers, or, for exporters that make them floats, the only one with two axes."""
    found = [value for value in inputs if value.type in TOKEN_TYPES and len(value.shape) == 2]
    whole = [value for value in found if "int" in value.type]
    for candidates in (whole, found):
        if len(candidates) == 1:
            return candidates[0]
    return None


def outputs(session: onnxruntime.InferenceSession, feeds: dict[str, numpy.ndarray]) -> list[numpy.ndarray]:
    """What the graph gives; nothing where it does not take inputs of these sizes."""
    try:
        return session.run(None, feeds)
    except Exception:  # as above
        return []


@torch.no_grad()
def expected_logprobs(network: RnnLm, ids: numpy.ndarray) -> numpy.ndarray:
    """Log-probabilities `[vocabulary]` after `ids`."""
    hidden, _ = network(torch.from_numpy(ids)[:, None], network.zero_state(1))
    return network.decoder(hidden[-1, 0]).log_softmax(0).numpy()


def agrees(output: numpy.ndarray, expected: numpy.ndarray) -> bool:
    """Whether the last position of an output, be it logits, log-probabilities or probabilities, is the expected distribution."""
    if output.ndim == 0 or output.shape[-1] != len(expected) or not numpy.isfinite(output).all():
        return False
    last = output.reshape(-1, len(expected))[-1].astype(numpy.float64)
    is_distribution = last.min() >= 0.0 and abs(last.sum() - 1.0) < TOLERANCE
    logprobs = numpy.log(last.clip(1e-30)) if is_distribution else last - numpy.logaddexp.reduce(last)
    return bool(abs(logprobs - expected).max() < TOLERANCE)
