"""Which network an architecture belongs to: one that carries a state, or one that reads a window."""

from __future__ import annotations

from .architecture import WINDOW_CELLS, Architecture, described
from .errors import InputError
from .model import RnnLm
from .window import WindowLm
from .windowed import WindowedRnnLm

Network = RnnLm | WindowLm | WindowedRnnLm


def network_of(architecture: Architecture) -> Network:
    """A new network."""
    if architecture.norms:
        raise InputError(f"the network has the norms {', '.join(architecture.norms)}: the server runs it, but it can be neither measured nor trained here")
    if architecture.cell in WINDOW_CELLS:
        return WindowLm(architecture)
    return WindowedRnnLm(architecture) if hasattr(architecture, "context") else RnnLm(architecture)


def build(shape: dict[str, object]) -> Network:
    """A new network of the `shape` that `dataclasses.asdict` gives of its architecture."""
    return network_of(described(shape))
