"""What a conversion starts from, recognised by its content: each form is read in a module of its own."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
import zipfile
from collections.abc import Callable

from ..errors import InputError
from . import foreign, keras_files, npz_files, pickles, slice_tables, tensor_bundle, torch_files
from .network import Network
from .textgenrnn_network import AttentionNetwork
from .vocabularies import Vocabulary
from .windows import Reading


class Form(enum.Enum):
    """How checkpoints are stored."""

    TORCH = "a file of PyTorch's `torch.save`"
    PICKLE = "a pickle"
    KERAS = "a Keras model, .keras or .h5"
    KERAS_WEIGHTS = "the weights of a Keras model, .hdf5"
    TENSORFLOW = "a TensorFlow checkpoint"
    ML5 = "a folder with ml5.js's `manifest.json`"
    NPZ = "an archive of NumPy arrays, .npz"


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint that has been read but not yet understood."""

    path: pathlib.Path
    form: Form
    content: object  # of the type that the form's module returns


@dataclasses.dataclass(frozen=True)
class Hints:
    """What the command line says of a network, for what its checkpoint does not say."""

    cell: str | None = None  # a plain RNN with this activation
    norms: tuple[str, ...] = ()  # the module that normalises the input of each layer and of the output layer, or `none`
    norm_epsilon: float | None = None
    start: tuple[str, ...] = ()  # the tensor of the initial h, and of the initial c


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network, how it was trained to read, and what its user should know of how it came about."""

    network: Network | AttentionNetwork
    notes: tuple[str, ...] = ()
    reading: Reading = Reading()
    vocabulary: Vocabulary | None = None  # that the file itself holds


@dataclasses.dataclass(frozen=True)
class Reader:
    """One kind of source."""

    name: str  # on the command line
    what: str  # in messages and on the card
    form: Form
    recognises: Callable[[Source], bool]  # among sources of the same form
    read: Callable[[Source, Hints], Converted]
    vocabulary: Callable[[Source], pathlib.Path | None] = lambda source: None  # that lies with the checkpoint


def open_source(path: pathlib.Path) -> Source:
    """Reads what `path` holds: a file, a folder, or the prefix that TensorFlow calls a checkpoint's name."""
    bundle = tensor_bundle.find(path)
    if bundle is not None:
        return Source(bundle, Form.TENSORFLOW, tensor_bundle.read(bundle))
    table = slice_tables.find(path)
    if table is not None:
        return Source(table, Form.TENSORFLOW, slice_tables.read(table))
    if path.is_dir():
        if not (path / "manifest.json").is_file():
            raise InputError(f"`{path}` holds neither `manifest.json` (ml5.js) nor a checkpoint of TensorFlow (`checkpoint`, `*.index`)")
        return Source(path, Form.ML5, tensor_bundle.read_dumped(path))
    return open_file(path)


def open_file(path: pathlib.Path) -> Source:
    """Reads a file by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(foreign.HEAD_LEN)
        members = zipfile.ZipFile(path).namelist() if head.startswith(b"PK") else []
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"`{path}` cannot be read: {error}") from error
    if "model.weights.h5" in members:
        return Source(path, Form.KERAS, keras_files.read_archive(path))
    if members and all(name.endswith(".npy") for name in members):
        return Source(path, Form.NPZ, npz_files.read(path))
    if head.startswith(b"\x89HDF"):
        arrays = keras_files.read_weights(path)
        return Source(path, Form.KERAS_WEIGHTS, arrays) if arrays else Source(path, Form.KERAS, keras_files.read_hdf5(path))
    if members or head.startswith(torch_files.LEGACY_HEAD):
        return Source(path, Form.TORCH, torch_files.read(path))
    if pickles.is_pickle(path, head):
        return Source(path, Form.PICKLE, pickles.read(path))
    what = foreign.kind_of(head)
    if what:
        raise InputError(f"`{path}` is {what}")
    raise InputError(f"`{path}` is not {', '.join(form.value for form in Form)}: it begins with {head[:16]!r}")
