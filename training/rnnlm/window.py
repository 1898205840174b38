"""Networks without memory, for comparison with recurrent ones: only the last `context` tokens predict the next one.

`cbow` is the mean of their vectors and an affine layer (Mikolov et al. 2013, with the next word in place of the middle one);
`ffn` keeps their order: their vectors side by side and a tanh layer (Bengio et al. 2003). Both end in an affine output layer.
They are used like `RnnLm`; their state is the last `context` - 1 ids, which before any text are those of the padding token.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .architecture import WindowArchitecture
from .model import Dropouts, State


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

        In training every window is read as the beginning of a text. If the state were carried on, padding would occur once an
        epoch, and the network would not learn what follows the first few tokens of a text.
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
