"""Networks without memory, to compare those with memory with: the last `context` tokens alone predict the next one.

`cbow` is the mean of their vectors and an affine layer (Mikolov et al. 2013, turned from the middle word to the next);
`ffn` keeps their order: their vectors side by side and a tanh layer (Bengio et al. 2003). Both end in an affine output layer.
They are used as `RnnLm` is; their state is the last `context` - 1 ids, before any text those of the padding token.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn
from torch.nn import functional

from .errors import InputError
from .model import Architecture, Dropouts, State

WINDOW_CELLS = ("cbow", "ffn")


@dataclasses.dataclass(frozen=True)
class WindowArchitecture(Architecture):
    """The shape of a network that reads a window; `hidden_sizes` has one entry."""

    context: int  # tokens that predict the next one
    pad: int  # id that stands where a text has no token yet

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.hidden_sizes) != 1:
            raise InputError(f"a `{self.cell}` network has one hidden layer, found sizes {self.hidden_sizes}")
        if self.context < 1:
            raise InputError(f"a context must be positive, found {self.context}")


class WindowLm(nn.Module):
    """ids `[steps, batch]` and a state to the hidden layer's outputs `[steps, batch, hidden]` and the state after them."""

    def __init__(self, architecture: WindowArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        hidden_size = architecture.hidden_sizes[0]
        vectors = architecture.context if architecture.cell == "ffn" else 1
        self.encoder = nn.Embedding(architecture.vocab_size, architecture.embedding_size)
        self.hidden = nn.Linear(vectors * architecture.embedding_size, hidden_size)
        self.decoder = nn.Linear(hidden_size, architecture.vocab_size)
        self.dropouts = Dropouts()
        if architecture.tie_weights:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, ids: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Reads `ids`. Logits are `decoder` of the outputs: the loss decides which of them to compute.

        In training every window of the text is read as the beginning of one: with the state carried on, padding would be
        met once an epoch, and what follows the first few tokens of a text never learnt.
        """
        before = self.zero_state(ids.shape[1]) if self.training else state
        seen = torch.cat([before[0], ids])
        vectors = self._dropped(self.encoder(seen), self.dropouts.embedding)
        # Step t sees seen[t : t + context], the oldest first.
        shifted = [vectors[first : first + len(ids)] for first in range(self.architecture.context)]
        if self.architecture.cell == "cbow":
            outputs = self.hidden(sum(shifted) / len(shifted))
        else:
            outputs = torch.tanh(self.hidden(torch.cat(shifted, dim=2)))
        return self._dropped(outputs, self.dropouts.outputs), [seen[len(ids) :]]

    def _dropped(self, values: torch.Tensor, probability: float) -> torch.Tensor:
        return functional.dropout(values, probability, self.training and probability > 0.0)

    def zero_state(self, batch_size: int) -> State:
        """The state before anything was read: padding `[context - 1, batch]`."""
        shape = (self.architecture.context - 1, batch_size)
        return [torch.full(shape, self.architecture.pad, device=self.encoder.weight.device)]
