"""Named tensors that are taken out one by one: what is left at the end belongs to a network of another kind."""

from __future__ import annotations

import torch

from ..errors import InputError

NAMES_SHOWN = 3


class Tensors:
    """The tensors of a checkpoint, widened to float32 as they are taken."""

    def __init__(self, tensors: dict[str, torch.Tensor], what: str) -> None:
        self.left = dict(tensors)
        self.what = what  # the network they should be of, for messages

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> torch.Tensor:
        """The tensor of that name, which must be there."""
        if name not in self.left:
            raise InputError(f"the checkpoint has no tensor `{name}`, which {self.what} has; found {self._names()}")
        return self.left.pop(name).detach().float()

    def take_if_there(self, name: str) -> torch.Tensor | None:
        """The tensor of that name, or None."""
        return self.take(name) if name in self.left else None

    def finish(self) -> None:
        """Refuses tensors that nobody took."""
        if self.left:
            raise InputError(f"the checkpoint is of another architecture than {self.what}: unexpected {self._names()}")

    def _names(self) -> str:
        names = [f"`{name}` {tuple(tensor.shape)}" for name, tensor in sorted(self.left.items())]
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        return (", ".join(names[:NAMES_SHOWN]) + more) or "nothing else"
