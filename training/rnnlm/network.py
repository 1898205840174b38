"""Which network an architecture belongs to: one with a recurrent state, or one that reads a window."""

from __future__ import annotations

from .errors import InputError
from .model import CELLS, Architecture, RnnLm
from .window import WINDOW_CELLS, WindowArchitecture, WindowLm

Network = RnnLm | WindowLm


def build(shape: dict[str, object]) -> Network:
    """A new network of the `shape` that `dataclasses.asdict` gives of its architecture."""
    shape = {**shape, "hidden_sizes": tuple(shape["hidden_sizes"])}
    if shape["cell"] in WINDOW_CELLS:
        return WindowLm(WindowArchitecture(**shape))
    if shape["cell"] in CELLS:
        return RnnLm(Architecture(**shape))
    raise InputError(f"cell `{shape['cell']}` is not supported, expected one of {', '.join((*CELLS, *WINDOW_CELLS))}")
