"""The network: embedding, recurrent layers, affine output layer. Knows no text and no training.

Parameters are stored under the names of PyTorch's `word_language_model` example (`stored_weights`), which the server reads. Inside,
every layer is a one-layer module, so that layers may differ in size.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn
from torch.nn import functional

from . import cells
from .architecture import Architecture
from .errors import InputError

# One entry a layer: h `[1, batch, width]`, for an LSTM the pair of it and c `[1, batch, hidden]`.
State = list


@dataclasses.dataclass(frozen=True)
class Dropouts:
    """Probabilities of dropping, in training only."""

    outputs: float = 0.0  # of each layer, unit by unit
    embedding: float = 0.0  # unit by unit
    recurrent: float = 0.0  # of W_hh, entry by entry, once a window (DropConnect; Merity et al. 2018)


class RnnLm(nn.Module):
    """ids `[steps, batch]` and a state to the top layer's outputs `[steps, batch, width]` and the state after them."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        inputs = (architecture.embedding_size, *architecture.widths[:-1])
        layer = cells.layer(architecture)
        options = {} if architecture.proj_size is None else {"proj_size": architecture.proj_size}
        self.encoder = nn.Embedding(architecture.vocab_size, architecture.embedding_size)
        self.rnn = nn.ModuleList(layer(*sizes, **options) for sizes in zip(inputs, architecture.hidden_sizes))
        self.decoder = nn.Linear(architecture.widths[-1], architecture.vocab_size)
        self.dropouts = Dropouts()
        if architecture.tie_weights:
            self.decoder.weight = self.encoder.weight
        self._initialize()

    def forward(self, ids: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Reads `ids`. Logits are `decoder` of the outputs: the loss decides which of them to compute."""
        outputs = self._dropped(self.encoder(ids), self.dropouts.embedding)
        after = []
        for layer, before in zip(self.rnn, state):
            weights = {"weight_hh_l0": self._dropped(layer.weight_hh_l0, self.dropouts.recurrent)}
            outputs, layer_state = torch.func.functional_call(layer, weights, (outputs, before))
            outputs = self._dropped(outputs, self.dropouts.outputs)
            after.append(layer_state)
        return outputs, after

    def _dropped(self, values: torch.Tensor, probability: float) -> torch.Tensor:
        return functional.dropout(values, probability, self.training and probability > 0.0)

    def zero_state(self, batch_size: int) -> State:
        """The state before anything was read."""
        like = self.encoder.weight
        h = [like.new_zeros(1, batch_size, width) for width in self.architecture.widths]
        if self.architecture.cell != "lstm":
            return h
        return [(h, like.new_zeros(1, batch_size, hidden)) for h, hidden in zip(h, self.architecture.hidden_sizes)]

    def _initialize(self) -> None:
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        for layer in self.rnn:
            if self.architecture.cell == "lstm":
                # An open forget gate at the start (Jozefowicz et al. 2015): gates are i, f, g, o.
                with torch.no_grad():
                    layer.bias_ih_l0[layer.hidden_size : 2 * layer.hidden_size] += 1.0


def detached(state: State) -> State:
    """The same state cut off from the graph that produced it: where back-propagation through time is truncated."""
    return [tuple(part.detach() for part in layer) if isinstance(layer, tuple) else layer.detach() for layer in state]


def stored_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights under the names that the server reads; a tied decoder weight is left out."""
    weights = {stored_name(name): weight.detach() for name, weight in model.state_dict().items()}
    if model.architecture.tie_weights:
        del weights["decoder.weight"]
    return weights


def load_stored_weights(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """The inverse of `stored_weights`: names and shapes must agree, but biases that are absent become zeros."""
    expected = stored_weights(model)
    absent = {name: torch.zeros_like(weight) for name, weight in expected.items() if "bias" in name}
    weights = absent | weights
    for name in expected.keys() | weights.keys():
        found = tuple(weights[name].shape) if name in weights else "nothing"
        wanted = tuple(expected[name].shape) if name in expected else "nothing"
        if found != wanted:
            raise InputError(f"tensor `{name}`: found {found}, expected {wanted}")
    with torch.no_grad():
        for name, weight in expected.items():
            weight.copy_(weights[name])


def stored_name(name: str) -> str:
    """`rnn.1.weight_ih_l0` -> `rnn.weight_ih_l1`."""
    parts = name.split(".")
    return f"rnn.{parts[2].removesuffix('0')}{parts[1]}" if parts[0] == "rnn" else name
