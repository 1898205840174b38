"""Checkpoints of TensorFlow (its second format), read without TensorFlow, and their form for ml5.js.

A checkpoint is a table of entries, `NAME.index`, and the numbers they point at, `NAME.data-*`. The table is `leveldb_table`'s, its values
are protocol buffers (tensorflow/core/protobuf/tensor_bundle.proto). Partitioned variables are not supported.
"""

from __future__ import annotations

import json
import math
import pathlib
import struct

import ml_dtypes
import numpy

from ..errors import InputError
from .leveldb_table import fields, table
from .torch_files import numbers

# `DataType` of TensorFlow. Others, such as the strings of object graphs, are no weights.
DTYPES = {
    number: numpy.dtype(kind)
    for number, kind in {1: numpy.float32, 2: numpy.float64, 3: numpy.int32, 9: numpy.int64, 14: ml_dtypes.bfloat16, 19: numpy.float16}.items()
}


def find(path: pathlib.Path) -> pathlib.Path | None:
    """The `.index` of the checkpoint that `path` refers to: that file, its name without the suffix, or the newest of a folder."""
    if path.suffix == ".index" and path.is_file():
        return path
    beside = path.with_name(path.name + ".index")
    if beside.is_file():
        return beside
    if (path / "checkpoint").is_file():
        name = newest(path)
        if (path / f"{name}.index").is_file():
            return path / f"{name}.index"
    found = sorted(path.glob("*.index")) if path.is_dir() else []
    if len(found) > 1:
        raise InputError(f"`{path}` holds {len(found)} checkpoints, and no file `checkpoint` that names the newest: name one, such as `{found[-1].with_suffix('')}`")
    return found[0] if found else None


def newest(folder: pathlib.Path) -> str:
    """The name of the checkpoint that the file `checkpoint` of a folder calls the newest."""
    first = (folder / "checkpoint").read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    # Its path is that of the machine where the model was trained; the name is enough.
    return first.removeprefix("model_checkpoint_path:").strip(' "').replace("\\", "/").rpartition("/")[2]


def read(index: pathlib.Path) -> dict[str, numpy.ndarray]:
    """The tensors of a checkpoint by name."""
    try:
        entries = dict(table(index.read_bytes()))
        header = fields(entries.pop(b""))
        shards = header.get(1, [1])[-1]
        if header.get(2, [0])[-1] != 0:
            raise InputError(f"`{index}` was written on a big-endian machine; expected little-endian numbers")
        stem = index.name.removesuffix(".index")
        data = {n: (index.parent / f"{stem}.data-{n:05}-of-{shards:05}").read_bytes() for n in range(shards)}
        return {name.decode(): tensor for name, value in entries.items() if (tensor := entry_tensor(fields(value), data)) is not None}
    except (OSError, LookupError, ValueError, struct.error, RuntimeError, AttributeError, TypeError) as error:
        raise InputError(f"`{index}` cannot be read as a checkpoint of TensorFlow: {type(error).__name__}: {error}") from error


def entry_tensor(entry: dict[int, list], data: dict[int, bytes]) -> numpy.ndarray | None:
    """The tensor of a `BundleEntryProto`; None if it does not hold numbers."""
    dtype = DTYPES.get(entry.get(1, [0])[-1])
    if dtype is None:
        return None
    if 7 in entry:
        raise ValueError("a tensor is stored in slices, which is not supported")
    dims = [fields(dim).get(1, [0])[-1] for dim in fields(entry.get(2, [b""])[-1]).get(2, [])]
    offset, size = entry.get(4, [0])[-1], entry.get(5, [0])[-1]
    count = math.prod(dims)
    if size != count * dtype.itemsize:
        raise ValueError(f"a tensor of the shape {dims} has {size} bytes, expected {count * dtype.itemsize}")
    return numbers(data[entry.get(3, [0])[-1]][offset : offset + size], dtype, count).reshape(dims)


def read_dumped(folder: pathlib.Path) -> dict[str, numpy.ndarray]:
    """The tensors that `manifest.json` lists, each a file of raw float32 numbers."""
    manifest = folder / "manifest.json"
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))
        tensors = {}
        for name, entry in listed.items():
            if pathlib.PurePath(entry["filename"]).name != entry["filename"]:
                raise ValueError(f"`filename` is {entry['filename']!r}, expected the name of a file in the folder")
            data = (folder / entry["filename"]).read_bytes()
            count = math.prod(entry["shape"])
            if len(data) != 4 * count:
                raise ValueError(f"`{entry['filename']}` has {len(data)} bytes, expected {4 * count} for the shape {entry['shape']}")
            tensors[name] = numbers(data, numpy.dtype(numpy.float32), count).reshape(entry["shape"])
        return tensors
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"`{manifest}` cannot be read as a model of ml5.js: {error}") from error
