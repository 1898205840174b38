"""What a conversion starts from, told by its content: each form is read in a module of its own."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
import zipfile
from collections.abc import Callable

from ..errors import InputError
from . import keras_files, pickles, tensor_bundle, torch_files
from .network import Network


class Form(enum.Enum):
    """How checkpoints are stored."""

    TORCH = "a file of PyTorch's `torch.save`"
    PICKLE = "a pickle"
    KERAS = "a Keras model, .keras or .h5"
    BUNDLE = "a TensorFlow checkpoint"
    ML5 = "a folder with ml5.js's `manifest.json`"


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint that was read but not yet understood."""

    path: pathlib.Path
    form: Form
    content: object  # of the type that the form's module returns


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network, and what its user should know of how it came about."""

    network: Network
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reader:
    """One kind of source."""

    name: str  # on the command line
    what: str  # in messages and on the card
    form: Form
    recognises: Callable[[Source], bool]  # among sources of the same form
    read: Callable[[Source, str | None], Converted]  # the second is --cell
    vocabulary: Callable[[Source], pathlib.Path | None] = lambda source: None  # that lies with the checkpoint


def open_source(path: pathlib.Path) -> Source:
    """Reads what `path` holds: a file, a folder, or the prefix that TensorFlow calls a checkpoint's name."""
    bundle = tensor_bundle.find(path)
    if bundle is not None:
        return Source(bundle, Form.BUNDLE, tensor_bundle.read(bundle))
    if path.is_dir():
        if not (path / "manifest.json").is_file():
            raise InputError(f"`{path}` holds neither `manifest.json` (ml5.js) nor a checkpoint of TensorFlow (`checkpoint`, `*.index`)")
        return Source(path, Form.ML5, tensor_bundle.read_dumped(path))
    try:
        with path.open("rb") as file:
            head = file.read(16)
        members = zipfile.ZipFile(path).namelist() if head.startswith(b"PK") else []
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"`{path}` cannot be read: {error}") from error
    if "model.weights.h5" in members:
        return Source(path, Form.KERAS, keras_files.read_archive(path))
    if head.startswith(b"\x89HDF"):
        return Source(path, Form.KERAS, keras_files.read_hdf5(path))
    if members or head.startswith(torch_files.LEGACY_HEAD):
        return Source(path, Form.TORCH, torch_files.read(path))
    if pickles.is_pickle(path, head):
        return Source(path, Form.PICKLE, pickles.read(path))
    raise InputError(f"`{path}` is none of {', '.join(form.value for form in Form)}: it begins with {head!r}")
