"""Checkpoints of TensorFlow, read without TensorFlow, and their form for ml5.js.

A checkpoint is a table of entries, `NAME.index`, and the numbers they point at, `NAME.data-*`. The table is LevelDB's
(https://github.com/google/leveldb/blob/main/doc/table_format.md), its values are protocol buffers
(tensorflow/core/protobuf/tensor_bundle.proto). Only what TensorFlow writes there is read: no compression, no partitions.
"""

from __future__ import annotations

import json
import math
import pathlib
import struct
from collections.abc import Iterator

import torch

from ..errors import InputError
from .torch_files import numbers

FOOTER_LEN = 48
TABLE_MAGIC = 0xDB4775248B80FB57

# DataType of TensorFlow. Others (strings, of object graphs) are no weights.
DTYPES = {1: torch.float32, 2: torch.float64, 3: torch.int32, 9: torch.int64, 14: torch.bfloat16, 19: torch.float16}


def find(path: pathlib.Path) -> pathlib.Path | None:
    """The `.index` of the checkpoint that `path` means: that file, its name without the ending, or the newest of a folder."""
    if path.suffix == ".index" and path.is_file():
        return path
    beside = path.with_name(path.name + ".index")
    if beside.is_file():
        return beside
    if (path / "checkpoint").is_file():
        first = (path / "checkpoint").read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        # The path within is that of the machine which trained; the name is enough.
        name = first.removeprefix("model_checkpoint_path:").strip(' "').replace("\\", "/").rpartition("/")[2]
        if (path / f"{name}.index").is_file():
            return path / f"{name}.index"
    found = sorted(path.glob("*.index")) if path.is_dir() else []
    if len(found) > 1:
        raise InputError(f"`{path}` holds {len(found)} checkpoints, of which `checkpoint` names none: name one, such as `{found[-1].with_suffix('')}`")
    return found[0] if found else None


def read(index: pathlib.Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name."""
    try:
        entries = dict(table(index.read_bytes()))
        header = fields(entries.pop(b""))
        shards = header.get(1, [1])[-1]
        if header.get(2, [0])[-1] != 0:
            raise InputError(f"`{index}` was written on a big-endian machine, expected little-endian numbers")
        stem = index.name.removesuffix(".index")
        data = {n: (index.parent / f"{stem}.data-{n:05}-of-{shards:05}").read_bytes() for n in range(shards)}
        return {name.decode(): tensor for name, value in entries.items() if (tensor := entry_tensor(fields(value), data)) is not None}
    except (OSError, LookupError, ValueError, struct.error, RuntimeError, AttributeError, TypeError) as error:
        raise InputError(f"`{index}` cannot be read as a checkpoint of TensorFlow: {type(error).__name__}: {error}") from error


def entry_tensor(entry: dict[int, list], data: dict[int, bytes]) -> torch.Tensor | None:
    """The tensor of a `BundleEntryProto`; None for what is no number."""
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


def table(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a LevelDB table, in the order of their keys."""
    if len(file) < FOOTER_LEN or struct.unpack("<Q", file[-8:]) != (TABLE_MAGIC,):
        raise ValueError("the last bytes are not those of a table")
    at = len(file) - FOOTER_LEN
    _, at = varint(file, at)  # where the index of meta blocks is and its length: there are none
    _, at = varint(file, at)
    for _, handle in block(file, *handle_at(file, at)):
        yield from block(file, *handle_at(handle, 0))


def handle_at(data: bytes, at: int) -> tuple[int, int]:
    """Where a block begins, and its length."""
    offset, at = varint(data, at)
    length, _ = varint(data, at)
    return offset, length


def block(file: bytes, offset: int, length: int) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of one block. A key is told by how much of the one before it begins with, and what follows that."""
    if file[offset + length] != 0:
        raise ValueError("a block is compressed, which is not supported")
    (restarts,) = struct.unpack_from("<I", file, offset + length - 4)
    at, end = offset, offset + length - 4 - 4 * restarts
    key = b""
    while at < end:
        shared, at = varint(file, at)
        rest, at = varint(file, at)
        value_len, at = varint(file, at)
        key = key[:shared] + file[at : at + rest]
        at += rest
        yield key, file[at : at + value_len]
        at += value_len


def fields(message: bytes) -> dict[int, list]:
    """The fields of a protocol buffer by number: integers, and bytes for what is nested."""
    found: dict[int, list] = {}
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(message, at)
        elif kind == 2:
            length, at = varint(message, at)
            value, at = message[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = int.from_bytes(message[at : at + length], "little"), at + length
        else:
            raise ValueError(f"a field of the wire type {kind}")
        found.setdefault(tag >> 3, []).append(value)
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where the next begins."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


def read_dumped(folder: pathlib.Path) -> dict[str, torch.Tensor]:
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
            tensors[name] = numbers(data, torch.float32, count).reshape(entry["shape"])
        return tensors
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"`{manifest}` cannot be read as a model of ml5.js: {error}") from error
