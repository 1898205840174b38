"""Named tensors that are taken out one by one: what is left at the end belongs to a different network."""

from __future__ import annotations

import numpy

from ..errors import InputError

NAMES_SHOWN = 3


class Tensors:
    """The tensors of a checkpoint, widened to float32 as they are taken."""

    def __init__(self, tensors: dict[str, numpy.ndarray], what: str) -> None:
        self.left = dict(tensors)
        self.what = what  # the network they should belong to, for messages

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> numpy.ndarray:
        """The tensor of that name, which must be there."""
        if name not in self.left:
            raise InputError(f"the checkpoint has no tensor `{name}`, which {self.what} has; found {self._names()}")
        return self.left.pop(name).astype(numpy.float32)

    def take_if_there(self, name: str) -> numpy.ndarray | None:
        """The tensor of that name, or None."""
        return self.take(name) if name in self.left else None

    def of_module(self, name: str) -> list[str]:
        """The names of the tensors that are left of the module of that name, without its own."""
        return sorted(found.removeprefix(f"{name}.") for found in self.left if found.startswith(f"{name}."))

    def finish(self) -> None:
        """Refuses a checkpoint with tensors that were not taken."""
        if self.left:
            raise InputError(f"the checkpoint's architecture is not that of {self.what}: unexpected {self._names()}")

    def _names(self) -> str:
        names = [f"`{name}` {tuple(tensor.shape)}" for name, tensor in sorted(self.left.items())]
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        return (", ".join(names[:NAMES_SHOWN]) + more) or "nothing else"
