"""Pickles, read without running what they name.

A pickle is a program that may call anything it can name. Here it can name what is on a list and nothing else: containers,
NumPy arrays, and, where a whole object was saved, the classes whose attributes are wanted. Those become `Inert`: none of
their code is loaded or run.
"""

from __future__ import annotations

import collections
import pathlib
import pickle
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy

from ..errors import InputError


class Inert:
    """Stands where an object of some class was: keeps the state that was saved of it and does nothing."""

    def __init__(self, *_: object) -> None:
        self.state: object = {}

    def __setstate__(self, state: object) -> None:
        self.state = state

    def get(self, name: str) -> object:
        """An attribute of the object, None where it had none."""
        return self.state.get(name) if isinstance(self.state, dict) else None


def class_name(value: object) -> str | None:
    """The name of the class that an inert object stands for."""
    return type(value).__name__ if isinstance(value, Inert) else None


def latin1_bytes(text: object, encoding: object) -> bytes:
    """`codecs.encode` as the second protocol uses it to hold bytes, and no other codec."""
    if encoding != "latin1" or not isinstance(text, str):
        raise InputError(f"the pickle calls `_codecs.encode` with {encoding!r}, expected 'latin1'")
    return text.encode("latin1")


def plain_dict(*arguments: object) -> dict:
    """A `Counter`'s pairs; a `defaultdict`'s are set after it was made of a function that is not wanted."""
    return dict(arguments[0]) if arguments and isinstance(arguments[0], dict) else {}


CONTAINERS = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "dict"): dict,
    ("builtins", "list"): list,
    ("builtins", "int"): int,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): plain_dict,
    ("collections", "Counter"): plain_dict,
    ("_codecs", "encode"): latin1_bytes,
}
# NumPy moved its core to another name with version 2.
NUMPY = {("numpy", "ndarray"): numpy.ndarray, ("numpy", "dtype"): numpy.dtype}
for _core in ("numpy.core", "numpy._core"):
    NUMPY[(f"{_core}.multiarray", "_reconstruct")] = numpy._core.multiarray._reconstruct
    NUMPY[(f"{_core}.multiarray", "scalar")] = numpy._core.multiarray.scalar
    NUMPY[(f"{_core}.numeric", "_frombuffer")] = numpy._core.numeric._frombuffer

PLAIN = CONTAINERS | NUMPY

# Names of Python 2, which the first protocols write.
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Unpickler(pickle.Unpickler):
    """Resolves a name by `allowed`, to an inert class where `inert` says so, and else refuses the file."""

    def __init__(self, file: BinaryIO, path: pathlib.Path, allowed: Mapping[tuple[str, str], object], inert: Callable[[str, str], bool]) -> None:
        super().__init__(file, encoding="utf-8")
        self.path = path
        self.allowed = allowed
        self.inert = inert

    def find_class(self, module: str, name: str) -> object:
        module = RENAMED.get(module, module)
        if (module, name) in self.allowed:
            return self.allowed[(module, name)]
        if self.inert(module, name):
            return type(name, (Inert,), {"__module__": module})
        raise InputError(f"`{self.path}` names `{module}.{name}`, which is not on the list of what a pickle may name; nothing was loaded")


def read(path: pathlib.Path) -> object:
    """What a plain pickle holds: containers, arrays, and the tokenizer of Keras as an inert object."""
    with path.open("rb") as file:
        return guarded(path, Unpickler(file, path, PLAIN, lambda _, name: name == "Tokenizer").load)


def guarded(path: pathlib.Path, load: Callable[[], object]) -> object:
    """The result of `load`. A damaged or hostile pickle may raise anything at all."""
    try:
        return load()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"`{path}` cannot be read as a pickle: {type(error).__name__}: {error}") from error
