"""The networks that are compared: the same weights as a model folder, as an ONNX file, and as a PyTorch module."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Sizes:
    """Of `embedding -> LSTM layers -> affine`."""

    name: str
    vocab_size: int
    hidden_size: int
    layers: int

    @property
    def multiplied(self) -> int:
        """Weights that a step multiplies when the first layer's input product is kept: all but that and the embedding."""
        gates = 4 * self.hidden_size
        recurrent = self.layers * gates * self.hidden_size
        between = (self.layers - 1) * gates * self.hidden_size
        return recurrent + between + self.vocab_size * self.hidden_size


SYNTHETIC = [
    Sizes("lstm-1x100-v10k", 10_000, 100, 1),
    Sizes("lstm-2x650-v10k", 10_000, 650, 2),
    Sizes("lstm-2x1500-v33k", 33_278, 1500, 2),
]
TINY = Sizes("lstm-2x8-v20", 20, 8, 2)


def random_weights(sizes: Sizes) -> dict[str, np.ndarray]:
    """Uniform, as PyTorch initialises them, under the names of its `word_language_model`."""
    random = np.random.default_rng(1)
    bound = 1 / np.sqrt(sizes.hidden_size)

    def uniform(*shape: int) -> np.ndarray:
        return random.uniform(-bound, bound, shape).astype(np.float32)

    hidden, gates = sizes.hidden_size, 4 * sizes.hidden_size
    weights = {"encoder.weight": random.uniform(-1, 1, (sizes.vocab_size, hidden)).astype(np.float32)}
    for layer in range(sizes.layers):
        weights[f"rnn.weight_ih_l{layer}"] = uniform(gates, hidden)
        weights[f"rnn.weight_hh_l{layer}"] = uniform(gates, hidden)
        weights[f"rnn.bias_ih_l{layer}"] = uniform(gates)
        weights[f"rnn.bias_hh_l{layer}"] = uniform(gates)
    weights["decoder.weight"] = uniform(sizes.vocab_size, hidden)
    weights["decoder.bias"] = uniform(sizes.vocab_size)
    return weights


def write_folder(folder: Path, sizes: Sizes, weights: dict[str, np.ndarray]) -> None:
    """Writes a model folder for rnnlm-server."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "format_version": 1,
        "weights": "model.safetensors",
        "architecture": {
            "cell": "lstm",
            "vocab_size": sizes.vocab_size,
            "embedding_size": sizes.hidden_size,
            "hidden_sizes": [sizes.hidden_size] * sizes.layers,
        },
        "tokenizer": {"kind": "whitespace", "file": "vocab.txt"},
        "initial_tokens": [],
    }
    (folder / "config.json").write_text(json.dumps(manifest))
    (folder / "vocab.txt").write_text("\n".join(f"w{token}" for token in range(sizes.vocab_size)))
    safetensors.numpy.save_file(weights, folder / "model.safetensors")


def read_folder(folder: Path) -> tuple[Sizes, dict[str, np.ndarray]]:
    """The LSTM of a model folder that ships, its weights widened to float32 and a tied output layer written out."""
    import torch
    from safetensors.torch import load_file

    architecture = json.loads((folder / "config.json").read_text())["architecture"]
    hidden_sizes = architecture["hidden_sizes"]
    if architecture["cell"] != "lstm" or set(hidden_sizes) != {architecture["embedding_size"]}:
        raise SystemExit(f"`{folder}` is {architecture}, expected LSTM layers as wide as the embedding")
    tensors = {name: tensor.to(torch.float32).numpy() for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors.setdefault("decoder.weight", tensors["encoder.weight"])
    tensors.setdefault("decoder.bias", np.zeros(architecture["vocab_size"], np.float32))
    return Sizes(folder.name, architecture["vocab_size"], hidden_sizes[0], len(hidden_sizes)), tensors


def write_graph(path: Path, sizes: Sizes, weights: dict[str, np.ndarray]) -> None:
    """Writes an ONNX file: `ids` `[tokens, rows]` and the states of each layer in, `logits` `[rows, vocab]` after the last token and the
    states out."""
    hidden = sizes.hidden_size
    constants = [numpy_helper.from_array(weights["encoder.weight"], "embedding")]
    nodes = [helper.make_node("Gather", ["embedding", "ids"], ["x0"])]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens", "rows"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", sizes.vocab_size])]
    constants.append(numpy_helper.from_array(np.array([1]), "directions"))
    constants.append(numpy_helper.from_array(np.array([0]), "first"))
    for layer in range(sizes.layers):
        w, r = (gates_of_onnx(weights[f"rnn.weight_{kind}_l{layer}"]) for kind in ("ih", "hh"))
        b = np.concatenate([gates_of_onnx(weights[f"rnn.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")])
        for name, values in (("W", w), ("R", r), ("B", b)):
            constants.append(numpy_helper.from_array(values[None], f"{name}{layer}"))
        names = [f"x{layer}", f"W{layer}", f"R{layer}", f"B{layer}", "", f"h{layer}", f"c{layer}"]
        states = [f"h{layer}_out", f"c{layer}_out"]
        nodes.append(helper.make_node("LSTM", names, [f"y{layer}", *states], hidden_size=hidden))
        nodes.append(helper.make_node("Squeeze", [f"y{layer}", "directions"], [f"x{layer + 1}"]))
        for state in "hc":
            shape = [1, "rows", hidden]
            inputs.append(helper.make_tensor_value_info(f"{state}{layer}", TensorProto.FLOAT, shape))
            outputs.append(helper.make_tensor_value_info(f"{state}{layer}_out", TensorProto.FLOAT, shape))
    constants.append(numpy_helper.from_array(np.ascontiguousarray(weights["decoder.weight"].T), "output"))
    constants.append(numpy_helper.from_array(weights["decoder.bias"], "output_bias"))
    nodes.append(helper.make_node("Squeeze", [f"h{sizes.layers - 1}_out", "first"], ["last"]))
    nodes.append(helper.make_node("MatMul", ["last", "output"], ["product"]))
    nodes.append(helper.make_node("Add", ["product", "output_bias"], ["logits"]))
    # The last layer's output is its last h, so nobody reads the squeezed one.
    nodes = [node for node in nodes if node.output[0] != f"x{sizes.layers}"]
    graph = helper.make_graph(nodes, sizes.name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def gates_of_onnx(values: np.ndarray) -> np.ndarray:
    """PyTorch stacks the gates as i, f, g, o; ONNX as i, o, f, c."""
    i, f, g, o = np.split(values, 4)
    return np.ascontiguousarray(np.concatenate([i, o, f, g]))


def quantise(path: Path, quantised: Path) -> None:
    """ONNX Runtime's dynamic quantisation of the recurrent and the output layers, as it comes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(path, quantised, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM", "MatMul"])


def module(sizes: Sizes, weights: dict[str, np.ndarray]):
    """The network as a PyTorch user writes it."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.Embedding(sizes.vocab_size, sizes.hidden_size)
            self.rnn = torch.nn.LSTM(sizes.hidden_size, sizes.hidden_size, sizes.layers)
            self.decoder = torch.nn.Linear(sizes.hidden_size, sizes.vocab_size)

        def forward(self, ids, state):
            output, state = self.rnn(self.encoder(ids), state)
            return self.decoder(output[-1]), state

    network = Network().eval()
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return network
