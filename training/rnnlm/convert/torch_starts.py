"""Learned initial states of PyTorch's checkpoints: h of all layers in one tensor, for an LSTM c in another, or under the server's names."""

from __future__ import annotations

import dataclasses

import numpy

from ..errors import InputError
from .network import Layer
from .tensors import Tensors

# Names of the two tensors, where --start does not give others.
USUAL = ("h0", "c0")


def with_start(layers: list[Layer], cell: str, tensors: Tensors, names: tuple[str, ...]) -> tuple[list[Layer], tuple[str, ...]]:
    """The layers with the states that they start from, taken out of `tensors`, and what a user should know of them."""
    parts = USUAL if cell == "lstm" else USUAL[:1]
    if len(names) > len(parts):
        raise InputError(f"--start names {len(names)} tensors, but the state of a `{cell}` network has {len(parts)}: {', '.join(parts)}")
    if missing := [name for name in names if name not in tensors]:
        raise InputError(f"--start names `{missing[0]}`, but the checkpoint has no such tensor")
    taken = []
    for part, name in zip(parts, names or parts):
        if name in tensors:
            starts = of_each_layer(name, tensors.take(name), [width(layer, part) for layer in layers])
            taken.append(name)
        else:
            starts = [tensors.take_if_there(f"rnn.{part}_l{k}") for k in range(len(layers))]
        layers = [dataclasses.replace(layer, **{part: start}) for layer, start in zip(layers, starts)]
    note = f"Texts and sessions start from the state in {' and '.join(f'`{name}`' for name in taken)} of the checkpoint."
    return layers, (note,) if taken else ()


def width(layer: Layer, part: str) -> int:
    """How wide h (a projection's, where there is one) or c of a layer is."""
    return layer.w_hh.shape[1] if part == "h0" else layer.hidden_size


def of_each_layer(name: str, start: numpy.ndarray, widths: list[int]) -> list[numpy.ndarray]:
    """The rows of `start`, `[layers, 1, width]` as PyTorch's layers take it; the dimensions of size 1 may be absent."""
    if len(set(widths)) > 1 or [size for size in start.shape if size > 1] != [size for size in (len(widths), widths[0]) if size > 1]:
        found = f"the tensor `{name}` has the shape {tuple(start.shape)}"
        raise InputError(f"{found}; expected one state for layers that are {' and '.join(map(str, widths))} wide, [layers, 1, width] with one width")
    return list(start.reshape(len(widths), widths[0]))
