"""The file that holds a network's weights, from arrays: as safetensors, or as an ONNX graph. Needs NumPy and no PyTorch."""

from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy
from safetensors.numpy import save

from . import onnx_recurrent, onnx_window, onnx_windowed
from .architecture import WINDOW_CELLS, Architecture, WindowArchitecture
from .errors import InputError
from .onnx_file import LOGITS, TOKENS

FORMATS = {"safetensors": "model.safetensors", "onnx": "model.onnx"}
DTYPES = {"f32": numpy.dtype(numpy.float32), "bf16": numpy.dtype(ml_dtypes.bfloat16), "f16": numpy.dtype(numpy.float16)}


@dataclasses.dataclass(frozen=True)
class Storage:
    """How weights are stored; the names are keys of `FORMATS` and `DTYPES`."""

    format: str
    dtype: str

    @staticmethod
    def of(shape: Architecture, format: str | None, dtype: str) -> Storage:
        """A storage that a network of this shape can have; without `format`, the usual one."""
        windowed = isinstance(shape, WindowArchitecture)
        if windowed and format == "safetensors":
            raise InputError(f"a `{shape.cell}` network that reads a window is served as a graph: use --format onnx")
        format = format or ("onnx" if windowed else "safetensors")
        if format == "onnx" and shape.proj_size is not None:
            raise InputError("ONNX's LSTM operator has no projection of h: a network with `proj_size` is stored as safetensors")
        if format == "onnx" and dtype == "bf16":
            raise InputError("ONNX graphs are stored as f32 or f16, which every runtime reads; found bf16")
        return Storage(format, dtype)


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """A file of weights."""

    data: bytes
    manifest: dict[str, object]  # what the manifest says of it: `weights`, its name, with `architecture` or `onnx`


@dataclasses.dataclass(frozen=True)
class Weights:
    """A network in numbers."""

    shape: Architecture
    tensors: dict[str, numpy.ndarray]  # float32, by the names that the server reads
    pad: str | None = None  # the vocabulary entry of `WindowArchitecture.pad`

    def file(self, storage: Storage) -> WeightsFile:
        """The file of these weights."""
        dtype = DTYPES[storage.dtype]
        if storage.format == "safetensors":
            # Not `save_file`: only its owner can read that file, and a server may well run as another user.
            data = save({name: tensor.astype(dtype) for name, tensor in self.tensors.items()})
            return WeightsFile(data, {"weights": FORMATS["safetensors"], "architecture": self.shape.manifest()})
        names: dict[str, object] = {"tokens": TOKENS, "logits": LOGITS}
        if isinstance(self.shape, WindowArchitecture):
            names |= {"window": self.shape.context, "pad": self.pad}
            module = onnx_window if self.shape.cell in WINDOW_CELLS else onnx_windowed
        else:
            names |= {"state": onnx_recurrent.state_pairs(self.shape)}
            module = onnx_recurrent
        return WeightsFile(module.to_bytes(self.shape, self.tensors, dtype), {"weights": FORMATS["onnx"], "onnx": names})
