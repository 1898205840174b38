"""Checkpoints of TensorFlow's first format (before version 1.0, and `write_version=V1`): one file, a table of tensors in slices.

The key "" has the names, types and shapes of all tensors; every other value holds one slice
(tensorflow/core/util/saved_tensor_slice.proto). A tensor in several slices, a partitioned variable, is not supported.
"""

from __future__ import annotations

import pathlib
import struct

import numpy

from ..errors import InputError
from .leveldb_table import FOOTER_LEN, TABLE_MAGIC, fields, table
from .tensor_bundle import newest

# `DataType` of TensorFlow, and the field of a `TensorProto` that has the numbers. Whole numbers count steps and are no weights.
FLOATS = {1: (numpy.dtype("<f4"), 5), 2: (numpy.dtype("<f8"), 6)}
CONTENT = 4  # the field with raw bytes of any type


def find(path: pathlib.Path) -> pathlib.Path | None:
    """The file of the checkpoint that `path` refers to: that file, or the newest of a folder."""
    if path.is_file():
        return path if is_table(path) else None
    if not path.is_dir():
        return None
    if (path / "checkpoint").is_file():
        named = path / newest(path)
        if named.is_file() and is_table(named):
            return named
    found = [file for file in sorted(path.iterdir()) if file.is_file() and is_table(file)]
    if len(found) > 1:
        raise InputError(f"`{path}` holds {len(found)} checkpoints, and no file `checkpoint` that names the newest: name one, such as `{found[-1]}`")
    return found[0] if found else None


def is_table(path: pathlib.Path) -> bool:
    """Whether a file ends as a table does."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        if length < FOOTER_LEN:
            return False
        file.seek(length - 8)
        return file.read(8) == struct.pack("<Q", TABLE_MAGIC)


def read(path: pathlib.Path) -> dict[str, numpy.ndarray]:
    """The tensors of a checkpoint by name."""
    try:
        entries = dict(table(path.read_bytes()))
        meta = fields(fields(entries.pop(b""))[1][-1])
        described = [fields(tensor) for tensor in meta.get(1, [])]
        slices: dict[str, list[dict[int, list]]] = {}
        for value in entries.values():
            part = fields(fields(value)[2][-1])
            slices.setdefault(part[1][-1].decode(), []).append(part)
        tensors = {}
        for tensor in described:
            name, kind = tensor[1][-1].decode(), tensor.get(3, [0])[-1]
            if kind in FLOATS:
                tensors[name] = whole(name, tensor, slices[name])
        return tensors
    except (OSError, LookupError, ValueError, struct.error, AttributeError, TypeError) as error:
        raise InputError(f"`{path}` cannot be read as a checkpoint of TensorFlow: {type(error).__name__}: {error}") from error


def whole(name: str, tensor: dict[int, list], slices: list[dict[int, list]]) -> numpy.ndarray:
    """The tensor that a `SavedSliceMeta` describes, from its only slice."""
    if len(slices) != 1:
        raise ValueError(f"`{name}` is stored in {len(slices)} slices, which is not supported")
    dims = [fields(dim).get(1, [0])[-1] for dim in fields(tensor.get(2, [b""])[-1]).get(2, [])]
    dtype, place = FLOATS[tensor[3][-1]]
    values = fields(slices[0][3][-1])
    (data,) = values.get(CONTENT) or values.get(place) or [b""]
    return numpy.frombuffer(data, dtype).reshape(dims)
