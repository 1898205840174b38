"""Small networks whose weights are a function of their description, with the names and shapes of PyTorch."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "rnn_sigmoid": 1, "gru": 3, "lstm": 4}

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """The sizes of `embedding -> recurrent layers -> affine`."""

    cell: str
    hidden_sizes: tuple[int, ...] = (5,)
    vocab_size: int = 11
    embedding_size: int = 4
    reset_after: bool = True
    """The attribute linear_before_reset of a GRU."""
    bias: str = "both"
    """`both`, `input` (Keras, which has one) or `none`."""
    output_bias: bool = True
    tied: bool = False
    gates: str = "sigmoid"
    """The function of the gates: `sigmoid`, `hard_sigmoid` or `hard_sigmoid_sixth`."""
    projection: int = 0
    """The width of an LSTM's h where it is a projection of the cell's output."""
    one_hot: bool = False
    """Whether the first layer reads one-hot vectors: the embedding is an identity."""
    dtype: str = "f32"
    """The type that the weights are rounded to. They are kept as float32."""

    @property
    def name(self) -> str:
        form = "" if self.reset_after else "-lbr0"
        parts = [self.cell + form, "x".join(map(str, self.hidden_sizes))]
        parts += [f"v{self.vocab_size}", f"e{self.embedding_size}"]
        parts += [f"bias-{self.bias}"] if self.bias != "both" else []
        parts += ["plain-output"] if not self.output_bias else []
        parts += ["tied"] if self.tied else []
        parts += [f"p{self.projection}"] if self.projection else []
        parts += ["one-hot"] if self.one_hot else []
        parts += [self.gates.replace("_", "-")] if self.gates != "sigmoid" else []
        parts += [self.dtype] if self.dtype != "f32" else []
        return "-".join(parts)

    @property
    def slope(self) -> float:
        """That of a hard sigmoid."""
        return {"hard_sigmoid": 0.2, "hard_sigmoid_sixth": 1 / 6}[self.gates]

    @property
    def layers(self) -> int:
        return len(self.hidden_sizes)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of vectors in the state of a layer."""
        return ("h", "c") if self.cell == "lstm" else ("h",)

    def width(self, kind: str, k: int) -> int:
        """The size of a vector in the state of layer `k`."""
        return self.projection if self.projection and kind == "h" else self.hidden_sizes[k]

    def weights(self) -> Weights:
        # The function of the gates changes no weight.
        random = np.random.default_rng(zlib.crc32(replace(self, gates="sigmoid").name.encode()))

        def uniform(bound: float, *shape: int) -> np.ndarray:
            return rounded(random.uniform(-bound, bound, shape).astype(np.float32), self.dtype)

        tensors = {"encoder.weight": uniform(1.0, self.vocab_size, self.embedding_size)}
        if self.one_hot:
            tensors["encoder.weight"] = np.eye(self.vocab_size, dtype=np.float32)
        width = self.embedding_size
        for k, hidden in enumerate(self.hidden_sizes):
            rows, bound = GATES[self.cell] * hidden, hidden**-0.5
            tensors[f"rnn.weight_ih_l{k}"] = uniform(2 * bound, rows, width)
            tensors[f"rnn.weight_hh_l{k}"] = uniform(bound, rows, self.width("h", k))
            if self.projection:
                tensors[f"rnn.weight_hr_l{k}"] = uniform(bound, self.projection, hidden)
            if self.bias != "none":
                tensors[f"rnn.bias_ih_l{k}"] = uniform(bound, rows)
            if self.bias == "both":
                tensors[f"rnn.bias_hh_l{k}"] = uniform(bound, rows)
            width = self.width("h", k)
        if not self.tied:
            tensors["decoder.weight"] = uniform(2 * width**-0.5, self.vocab_size, width)
        if self.output_bias:
            tensors["decoder.bias"] = uniform(1.0, self.vocab_size)
        return tensors

    def manifest(self) -> dict:
        """The `config.json` for the weights. Its tokenizer is never loaded."""
        architecture = {
            "cell": self.cell,
            "vocab_size": self.vocab_size,
            "embedding_size": self.embedding_size,
            "hidden_sizes": list(self.hidden_sizes),
            "tie_weights": self.tied,
        }
        if self.cell == "gru":
            architecture["gru_linear_before_reset"] = self.reset_after
        if self.gates != "sigmoid":
            architecture["gate_activation"] = self.gates
        tokenizer = {"kind": "char", "file": "vocab.txt"}
        return {"format_version": 1, "weights": "model.safetensors", "architecture": architecture, "tokenizer": tokenizer}


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Rounds to float32 values that `dtype` represents exactly."""
    if dtype == "f32":
        return values
    if dtype == "f16":
        return values.astype(np.float16).astype(np.float32)
    import ml_dtypes

    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def onnx_layer(network: Network, weights: Weights, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """W `[1, gates * hidden, input]`, R and B of layer `k`, with the gates in the order of ONNX."""

    def ordered(name: str) -> np.ndarray | None:
        tensor = weights.get(f"rnn.{name}_l{k}")
        return None if tensor is None else reorder(network.cell, tensor)

    w, r, b_ih, b_hh = (ordered(name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    if b_ih is None:
        return w[None], r[None], None
    return w[None], r[None], np.concatenate([b_ih, np.zeros_like(b_ih) if b_hh is None else b_hh])[None]


def reorder(cell: str, tensor: np.ndarray) -> np.ndarray:
    """Reorders the gates from PyTorch's i f g o and r z n to ONNX's i o f c and z r h."""
    blocks = np.split(tensor, GATES[cell])
    order = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}.get(cell, (0,))
    return np.concatenate([blocks[i] for i in order])
