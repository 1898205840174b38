"""A recurrent network that reads a window: each prediction reads the last `context` tokens from a zero state.

That is how many networks of Keras were trained and are called. It is used like `RnnLm`; its state is the last `context` - 1 ids,
which before any text are those of the padding token.
"""

from __future__ import annotations

import torch

from .architecture import WindowArchitecture
from .model import RnnLm, State


class WindowedRnnLm(RnnLm):
    """ids `[steps, batch]` and a state to the top layer's outputs `[steps, batch, hidden]` and the state after them."""

    architecture: WindowArchitecture

    def forward(self, ids: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Reads `ids`: every one of them ends a window of its own, and all windows are read side by side."""
        steps, batch = ids.shape
        context = self.architecture.context
        seen = torch.cat([state[0], ids])
        # [steps, batch, context] -> [context, steps * batch]
        windows = seen.unfold(0, context, 1).reshape(steps * batch, context).t()
        outputs, _ = super().forward(windows, super().zero_state(steps * batch))
        return outputs[-1].reshape(steps, batch, -1), [seen[steps:]]

    def zero_state(self, batch_size: int) -> State:
        """The state before anything was read: padding `[context - 1, batch]`."""
        shape = (self.architecture.context - 1, batch_size)
        return [torch.full(shape, self.architecture.pad, device=self.encoder.weight.device)]
