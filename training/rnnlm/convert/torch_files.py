"""Files of `torch.save`, old and new, read without `torch.load`: it would run what the file names, or refuse whole modules.

New files (since PyTorch 1.6) are zip archives with `data.pkl` and one member a storage; older ones are a sequence of pickles
followed by the storages. PyTorch is not needed to read them: tensors become arrays.
"""

from __future__ import annotations

import dataclasses
import pathlib
import struct
import zipfile
from typing import BinaryIO

import ml_dtypes
import numpy

from ..errors import InputError
from . import pickles
from .pickles import Inert, class_name

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# `LEGACY_MAGIC` as a pickle of the second protocol: what an old file begins with.
LEGACY_HEAD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

STORAGES = {
    "FloatStorage": numpy.dtype(numpy.float32),
    "DoubleStorage": numpy.dtype(numpy.float64),
    "HalfStorage": numpy.dtype(numpy.float16),
    "BFloat16Storage": numpy.dtype(ml_dtypes.bfloat16),
    "LongStorage": numpy.dtype(numpy.int64),
    "IntStorage": numpy.dtype(numpy.int32),
    "ShortStorage": numpy.dtype(numpy.int16),
    "CharStorage": numpy.dtype(numpy.int8),
    "ByteStorage": numpy.dtype(numpy.uint8),
    "BoolStorage": numpy.dtype(numpy.bool_),
}

# Classes whose attributes are wanted, wherever they were defined, and classes that are saved beside them.
INERT_CLASSES = {
    "RNNModel", "TransformerModel", "PositionalEncoding", "WeightDrop", "LockedDropout", "SplitCrossEntropyLoss",
    "CharRNN", "Corpus", "Dictionary", "Namespace", "PosixPath", "WindowsPath",
}  # fmt: skip
INERT_MODULES = ("torch.nn.modules.", "torch.nn.parallel.", "torch.nn.backends.", "torch.nn._functions.", "torch.optim.")
# A bound method is saved as a call of `getattr`. AWD-LSTM has one, which is not needed.
INERT_NAMES = {("builtins", "getattr"), ("torch", "device")} | {("torch", str(dtype)) for dtype in STORAGES.values()}


def is_inert(module: str, name: str) -> bool:
    return name in INERT_CLASSES or module.startswith(INERT_MODULES) or (module, name) in INERT_NAMES


def strided(storage: numpy.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> numpy.ndarray:
    """A tensor out of its storage, within which it must lie: NumPy does not check that."""
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError(f"a tensor has the sizes {size}, the strides {stride} and the offset {offset}")
    count = offset + sum((length - 1) * step for length, step in zip(size, stride)) + 1 if all(size) else offset
    if count > len(storage):
        raise ValueError(f"a tensor needs {count} numbers of a storage that has {len(storage)}")
    steps = [step * storage.itemsize for step in stride]
    return numpy.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def first(value: object, *_: object) -> object:
    """The first argument: a parameter is its tensor."""
    return value


ALLOWED = pickles.PLAIN | {
    ("torch._utils", "_rebuild_tensor"): strided,
    ("torch._utils", "_rebuild_tensor_v2"): strided,
    ("torch._utils", "_rebuild_parameter"): first,
    ("torch._utils", "_rebuild_parameter_with_state"): first,
    ("torch.nn.parameter", "Parameter"): first,
    ("torch", "Size"): tuple,
}
for _module in ("torch", "torch.cuda", "torch.storage"):
    ALLOWED |= {(_module, name): dtype for name, dtype in STORAGES.items()}


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """The saved value, its tensors by name as in a `state_dict`, and what only a whole module says."""

    value: object
    module: object  # what holds the tensors: inert, or a dictionary
    tensors: dict[str, numpy.ndarray]
    mode: str | None  # of the recurrent layers, for example `RNN_RELU`


def read(path: pathlib.Path) -> TorchFile:
    """Reads a checkpoint: a module, a `state_dict`, or either inside the containers of a training script."""
    return pickles.guarded(path, lambda: _named(path, read_value(path)))


def _named(path: pathlib.Path, value: object) -> TorchFile:
    module = unwrapped(value)
    tensors = module_tensors(module) if isinstance(module, Inert) else module
    if not isinstance(tensors, dict) or not any(isinstance(tensor, numpy.ndarray) for tensor in tensors.values()):
        raise InputError(f"`{path}` holds no PyTorch module and no state_dict, found {type(value).__name__}")
    named = {str(name).removeprefix("module."): tensor for name, tensor in tensors.items() if isinstance(tensor, numpy.ndarray)}
    return TorchFile(value, module, named, recurrent_mode(module))


def read_value(path: pathlib.Path) -> object:
    """The value that `torch.save` was given; classes are inert."""
    return pickles.guarded(path, lambda: _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path))


class Unpickler(pickles.Unpickler):
    """Storages are kept outside of the pickle, where `storage` finds them."""

    def __init__(self, file: BinaryIO, path: pathlib.Path, storage=None) -> None:
        super().__init__(file, path, ALLOWED, is_inert)
        self.storage = storage

    def persistent_load(self, saved: object) -> object:
        match saved:
            case ("storage", numpy.dtype() as dtype, key, _, int(count)) | ("storage", numpy.dtype() as dtype, key, _, int(count), None):
                return self.storage(dtype, str(key), count)
            case ("module", source, *_):  # a class with its source, which is not run
                return source
        raise InputError(f"`{self.path}` keeps {saved!r} outside of its pickle; only storages are expected there")


def _read_zip(path: pathlib.Path) -> object:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("constants.pkl") for name in names):
            raise InputError(f"`{path}` is a TorchScript archive, which holds code: save the module's state_dict instead")
        folder = next((name.removesuffix("data.pkl") for name in names if name.endswith("data.pkl")), None)
        if names and all(name.endswith(".npy") for name in names):
            raise InputError(f"`{path}` is an archive of NumPy arrays, .npz; expected what `torch.save` writes")
        if folder is None:
            raise InputError(f"`{path}` is a zip archive without `data.pkl`; expected what `torch.save` writes")
        if folder + "byteorder" in names and archive.read(folder + "byteorder") != b"little":
            raise InputError(f"`{path}` was written on a big-endian machine; expected little-endian numbers")
        storages: dict[str, numpy.ndarray] = {}

        def storage(dtype: numpy.dtype, key: str, count: int) -> numpy.ndarray:
            if key not in storages:
                storages[key] = numbers(archive.read(f"{folder}data/{key}"), dtype, count)
            return storages[key]

        with archive.open(folder + "data.pkl") as file:
            return Unpickler(file, path, storage).load()


def _read_legacy(path: pathlib.Path) -> object:
    with path.open("rb") as file:
        if Unpickler(file, path).load() != LEGACY_MAGIC:
            raise InputError(f"`{path}` is not a file of `torch.save`")
        Unpickler(file, path).load()  # the version of the format
        Unpickler(file, path).load()  # the sizes of C's types
        storages: dict[str, numpy.ndarray] = {}

        def storage(dtype: numpy.dtype, key: str, count: int) -> numpy.ndarray:
            # The tensors are created before the numbers are read, which fill them below.
            return storages.setdefault(key, numpy.zeros(bounded(count, dtype), dtype))

        def bounded(count: int, dtype: numpy.dtype) -> int:
            if not 0 <= count * dtype.itemsize <= path.stat().st_size:
                raise InputError(f"`{path}` claims a storage of {count} numbers, more than the file can hold")
            return count

        value = Unpickler(file, path, storage).load()
        for key in Unpickler(file, path).load():
            target = storages[str(key)]
            (count,) = struct.unpack("<q", file.read(8))
            if count != len(target):
                raise InputError(f"`{path}` has {count} numbers in the storage `{key}`; expected {len(target)}")
            target[:] = numbers(file.read(count * target.itemsize), target.dtype, count)
        return value


def numbers(data: bytes, dtype: numpy.dtype, count: int) -> numpy.ndarray:
    """Raw little-endian numbers as a tensor `[count]`."""
    if len(data) < count * dtype.itemsize:
        raise ValueError(f"a tensor's storage has {len(data)} bytes, expected {count * dtype.itemsize}")
    return numpy.frombuffer(data, dtype, count)


def unwrapped(value: object) -> object:
    """The module or the `state_dict` inside what a script saved: AWD-LSTM's list, or a dictionary with a `model`."""
    if isinstance(value, (list, tuple)) and value:
        return unwrapped(value[0])
    if isinstance(value, dict):
        for key in ("model", "state_dict", "model_state_dict"):
            if isinstance(value.get(key), (dict, Inert)):
                return unwrapped(value[key])
    return value


def module_tensors(module: Inert, prefix: str = "") -> dict[str, numpy.ndarray]:
    """The tensors that the module's `state_dict` would have."""
    tensors = {}
    for kind in ("_parameters", "_buffers"):
        tensors |= {prefix + name: tensor for name, tensor in (module.get(kind) or {}).items() if tensor is not None}
    for name, child in (module.get("_modules") or {}).items():
        if isinstance(child, Inert):
            tensors |= module_tensors(child, f"{prefix}{name}.")
    return tensors


def recurrent_mode(module: object) -> str | None:
    """The `mode` of the first recurrent module, which a `state_dict` does not have."""
    if not isinstance(module, Inert):
        return None
    if class_name(module) in ("RNN", "LSTM", "GRU"):
        return module.get("mode")
    children = (module.get("_modules") or {}).values()
    return next(filter(None, map(recurrent_mode, children)), None)
