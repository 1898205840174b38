"""Pickles, read without running what they name.

A pickle is a program that may call anything it can name. Here it can name only what is on a list: containers, NumPy's arrays, and,
where a whole object was saved, the classes whose attributes are wanted. Those become `Inert`: none of their code is loaded or run.
NumPy's own classes are not used either: a type whose state a pickle sets may claim that raw bytes are pointers.
"""

from __future__ import annotations

import collections
import pathlib
import pickle
import re
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy

from ..errors import InputError


class Inert:
    """Takes the place of an object of some class: it keeps the state that was saved and does nothing."""

    def __init__(self, *_: object) -> None:
        self.state: object = {}

    def __setstate__(self, state: object) -> None:
        self.state = state

    def get(self, name: str) -> object:
        """An attribute of the object; None if it had no such attribute."""
        return self.state.get(name) if isinstance(self.state, dict) else None


def class_name(value: object) -> str | None:
    """The name of the class that an inert object stands for."""
    return type(value).__name__ if isinstance(value, Inert) else None


class Dtype:
    """A type of numbers as a pickle builds it: from a code such as `f2`, then from a state that holds the byte order."""

    CODES = re.compile("[fiu][1248]|b1")

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "|"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def numpy(self) -> numpy.dtype:
        """The type, if it is a type of plain numbers."""
        if not self.CODES.fullmatch(self.code) or self.order not in "<>|=":
            raise InputError(f"the pickle has an array of the type `{self.order}{self.code}`; only numbers are read")
        return numpy.dtype(self.order + self.code)


class Array:
    """An array as a pickle builds it: empty at first, then from a state that holds its shape, type and bytes."""

    def __init__(self, *_: object) -> None:
        self.values = numpy.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        # The first protocols store bytes as text.
        data = data.encode("latin1") if isinstance(data, str) else data
        self.values = numpy.frombuffer(data, dtype.numpy()).reshape(shape, order="F" if fortran else "C")

    @staticmethod
    def of_buffer(data: bytes, dtype: Dtype, shape: tuple[int, ...], order: str, *_: object) -> Array:
        """How the fifth protocol builds an array."""
        array = Array()
        array.values = numpy.frombuffer(data, dtype.numpy()).reshape(shape, order=order)
        return array


def latin1_bytes(text: object, encoding: object) -> bytes:
    """`codecs.encode` as the second protocol uses it to store bytes, with that codec alone."""
    if encoding != "latin1" or not isinstance(text, str):
        raise InputError(f"the pickle calls `_codecs.encode` with {encoding!r}; expected 'latin1'")
    return text.encode("latin1")


def plain_dict(*arguments: object) -> dict:
    """The pairs of a `Counter`. Those of a `defaultdict` are set later; its factory is not wanted."""
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
NUMPY = {("numpy", "ndarray"): Inert, ("numpy", "dtype"): Dtype}
# NumPy moved its core to another name with version 2.
for _core in ("numpy.core", "numpy._core"):
    NUMPY[(f"{_core}.multiarray", "_reconstruct")] = Array
    NUMPY[(f"{_core}.multiarray", "scalar")] = Inert
    NUMPY[(f"{_core}.numeric", "_frombuffer")] = Array.of_buffer

PLAIN = CONTAINERS | NUMPY

# Names of Python 2, which the first protocols write.
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Unpickler(pickle.Unpickler):
    """Resolves a name with `allowed`, or to an inert class if `inert` says so; any other name refuses the file."""

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
        raise InputError(f"`{self.path}` names `{module}.{name}`, which is not on the list of names that are allowed in a pickle; nothing was loaded")


def is_pickle(path: pathlib.Path, head: bytes) -> bool:
    """Whether a file that begins with `head` is a pickle. Those of the first two protocols can begin with anything: there the name decides."""
    return head.startswith(b"\x80") or path.suffix in (".pkl", ".pickle", ".p")


def read(path: pathlib.Path) -> object:
    """The content of a plain pickle: containers, arrays, and the tokenizer of Keras as an inert object."""
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
