"""A network as the server stores it, and the other orders in which its numbers are found. Knows no file."""

from __future__ import annotations

import dataclasses

import torch

from ..errors import InputError

# Gates of a recurrent layer by their number, in the order of PyTorch and of the server.
GATES = {1: "h", 3: "rzn", 4: "ifgo"}
CELLS = {"rnn_tanh": 1, "rnn_relu": 1, "rnn_sigmoid": 1, "gru": 3, "lstm": 4}


@dataclasses.dataclass(frozen=True)
class Layer:
    """`w_ih [G*H, in]`, `w_hh [G*H, H]` and the biases `[G*H]`, gates in the order of `GATES`."""

    w_ih: torch.Tensor
    w_hh: torch.Tensor
    b_ih: torch.Tensor | None = None
    b_hh: torch.Tensor | None = None

    @property
    def hidden_size(self) -> int:
        return self.w_hh.shape[-1]

    @property
    def gate_count(self) -> int:
        """4 for an LSTM, 3 for a GRU, 1 for a plain layer; 0 where the shapes are no layer's."""
        count, rest = divmod(self.w_hh.shape[0], max(self.hidden_size, 1))
        return count if self.w_hh.ndim == 2 and rest == 0 and count in GATES else 0


@dataclasses.dataclass(frozen=True)
class Network:
    """Embedding `[V, E]`, layers, output `[V, H]` and its bias `[V]`. An output equal to the embedding is stored once."""

    cell: str
    embedding: torch.Tensor
    layers: list[Layer]
    output: torch.Tensor
    output_bias: torch.Tensor | None
    gru_linear_before_reset: bool = True

    @property
    def vocab_size(self) -> int:
        return self.embedding.shape[0]

    @property
    def tie_weights(self) -> bool:
        return self.output.shape == self.embedding.shape and torch.equal(self.output, self.embedding)

    @property
    def parameter_count(self) -> int:
        return sum(tensor.numel() for tensor in self.weights(torch.float32).values())

    def shape(self) -> dict[str, object]:
        """The manifest's `architecture`."""
        shape = {
            "cell": self.cell,
            "vocab_size": self.vocab_size,
            "embedding_size": self.embedding.shape[1],
            "hidden_sizes": [layer.hidden_size for layer in self.layers],
            "tie_weights": self.tie_weights,
        }
        return shape | ({"gru_linear_before_reset": self.gru_linear_before_reset} if self.cell == "gru" else {})

    def weights(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """The tensors under the names that the server reads; shapes that do not fit and numbers that are not finite are refused."""
        tensors = {"encoder.weight": self.embedding, "decoder.bias": self.output_bias}
        shapes = {"encoder.weight": (self.vocab_size, self.embedding.shape[1]), "decoder.bias": (self.vocab_size,)}
        width = self.embedding.shape[1]
        for k, layer in enumerate(self.layers):
            rows = CELLS[self.cell] * layer.hidden_size
            names = {f"rnn.weight_ih_l{k}": (rows, width), f"rnn.weight_hh_l{k}": (rows, layer.hidden_size)}
            names |= {f"rnn.bias_ih_l{k}": (rows,), f"rnn.bias_hh_l{k}": (rows,)}
            tensors |= dict(zip(names, (layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh)))
            shapes |= names
            width = layer.hidden_size
        shapes["decoder.weight"] = (self.vocab_size, width)
        if not self.tie_weights:
            tensors["decoder.weight"] = self.output
        stored = {name: tensor.to(dtype) for name, tensor in tensors.items() if tensor is not None}
        for name, tensor in stored.items():
            if tuple(tensor.shape) != shapes[name]:
                raise InputError(f"what becomes the tensor `{name}` has the shape {tuple(tensor.shape)}, expected {shapes[name]}")
            if not tensor.isfinite().all():
                raise InputError(f"what becomes the tensor `{name}` holds a number that is not finite as {dtype}")
        return stored


def in_order(weight: torch.Tensor, found: str) -> torch.Tensor:
    """Gates along the first axis, there in the order `found` (letters of `GATES`), in the order of the server."""
    gates = dict(zip(found, weight.chunk(len(found))))
    return torch.cat([gates[letter] for letter in GATES[len(found)]])


def with_update_gate_inverted(weight: torch.Tensor) -> torch.Tensor:
    """For a GRU whose z weighs the candidate, not the past: 1 - sigmoid(x) = sigmoid(-x). Gates are r, z, n."""
    r, z, n = weight.chunk(3)
    return torch.cat([r, -z, n])


def cell_of(layers: list[Layer], plain: str | None) -> str:
    """The cell by the number of gates. `plain` says which activation a plain layer has, which no shape can tell."""
    counts = {layer.gate_count for layer in layers}
    if len(counts) != 1 or 0 in counts:
        shapes = ", ".join(str(tuple(layer.w_hh.shape)) for layer in layers)
        raise InputError(f"recurrent weights of the shapes {shapes or 'none'}, expected layers of one kind with 4 H, 3 H or H rows and H columns")
    count = counts.pop()
    if count == 1 and plain is None:
        raise InputError("the weights are those of a plain RNN and do not say its activation: name it with --cell rnn_tanh or --cell rnn_relu")
    return {4: "lstm", 3: "gru", 1: plain}[count]
