"""Archives of arrays that `numpy.savez` wrote. Arrays of objects, which are pickles, are refused."""

from __future__ import annotations

import pathlib

import numpy

from ..errors import InputError


def read(path: pathlib.Path) -> dict[str, numpy.ndarray]:
    """The arrays by name."""
    try:
        with numpy.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive may raise anything
        raise InputError(f"`{path}` cannot be read as NumPy arrays: {type(error).__name__}: {error}") from error
