"""The tables in which TensorFlow keeps its checkpoints: LevelDB's format, with protocol buffers as values.

https://github.com/google/leveldb/blob/main/doc/table_format.md. TensorFlow writes them without compression, and no other form is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

FOOTER_LEN = 48
TABLE_MAGIC = 0xDB4775248B80FB57


def table(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a LevelDB table, in the order of their keys."""
    if len(file) < FOOTER_LEN or struct.unpack("<Q", file[-8:]) != (TABLE_MAGIC,):
        raise ValueError("the last bytes are not those of a table")
    at = len(file) - FOOTER_LEN
    _, at = varint(file, at)  # the place and the length of the index of meta blocks, of which there are none
    _, at = varint(file, at)
    for _, handle in block(file, *handle_at(file, at)):
        yield from block(file, *handle_at(handle, 0))


def handle_at(data: bytes, at: int) -> tuple[int, int]:
    """Where a block begins, and its length."""
    offset, at = varint(data, at)
    length, _ = varint(data, at)
    return offset, length


def block(file: bytes, offset: int, length: int) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of one block. A key is stored as the length of the beginning that it shares with the key before, and the rest."""
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
    """The fields of a protocol buffer by number: integers, and bytes for nested messages."""
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
    """A number in groups of seven bits, the lowest first, and the place after it."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1
