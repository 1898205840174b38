"""The file that holds a network's weights, and what the manifest says of it: safetensors, or an ONNX graph."""

from __future__ import annotations

import dataclasses
import pathlib

import torch
from safetensors.torch import load_file, save

from . import onnx_file, onnx_recurrent, onnx_window
from .errors import InputError
from .model import CELLS, RnnLm, load_stored_weights, stored_weights
from .network import Network
from .tokenizer import Tokenizer
from .window import WINDOW_CELLS, WindowLm

FORMATS = {"safetensors": "model.safetensors", "onnx": "model.onnx"}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclasses.dataclass(frozen=True)
class Storage:
    """How weights are stored; the names are keys of `FORMATS` and `DTYPES`."""

    format: str
    dtype: str

    @staticmethod
    def of(model: Network, format: str | None, dtype: str) -> Storage:
        """A storage that the network can have; without `format`, the one that servers know its cell by."""
        if isinstance(model, WindowLm) and format == "safetensors":
            raise InputError(f"a `{model.architecture.cell}` network is served as a graph, expected --format onnx")
        format = format or ("onnx" if isinstance(model, WindowLm) else "safetensors")
        if format == "onnx" and DTYPES[dtype] not in onnx_file.DTYPES:
            raise InputError(f"ONNX is stored in f32 or f16, which every run-time reads, found {dtype}")
        return Storage(format, dtype)


def round_weights(model: Network, storage: Storage) -> Network:
    """The network as it will be read back from its file: what is measured must be what is shipped."""
    dtype = DTYPES[storage.dtype]
    load_stored_weights(model, {name: weight.to(dtype).float() for name, weight in stored_weights(model).items()})
    return model


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """A file of weights."""

    data: bytes
    manifest: dict[str, object]  # what the manifest says of it: `weights`, its name, with `architecture` or `onnx`


def weights_file(model: Network, tokenizer: Tokenizer, storage: Storage) -> WeightsFile:
    """The file of a network of this package."""
    dtype = DTYPES[storage.dtype]
    if storage.format == "onnx":
        data = (onnx_window if isinstance(model, WindowLm) else onnx_recurrent).to_bytes(model, dtype)
        return WeightsFile(data, {"weights": FORMATS["onnx"], "onnx": graph_names(model, tokenizer)})
    shape = dataclasses.asdict(model.architecture) | {"hidden_sizes": list(model.architecture.hidden_sizes)}
    if model.architecture.cell == "gru":
        shape["gru_linear_before_reset"] = True  # the form of PyTorch
    return safetensors_file(shape, {name: weight.to(dtype) for name, weight in stored_weights(model).items()})


def safetensors_file(shape: dict[str, object], weights: dict[str, torch.Tensor]) -> WeightsFile:
    """The file of weights under the names that the server reads, in the type to be stored; `shape` is the manifest's `architecture`."""
    # Not `save_file`: its file can be read by its owner alone, and a server may well run as another user.
    data = save({name: weight.contiguous() for name, weight in weights.items()})
    return WeightsFile(data, {"weights": FORMATS["safetensors"], "architecture": shape})


def graph_names(model: Network, tokenizer: Tokenizer) -> dict[str, object]:
    """The manifest's `onnx`: what is what in a graph."""
    names: dict[str, object] = {"tokens": onnx_file.TOKENS, "logits": onnx_file.LOGITS}
    if isinstance(model, RnnLm):
        return names | {"state": onnx_recurrent.state_pairs(model.architecture)}
    return names | {"window": model.architecture.context, "pad": tokenizer.vocabulary[model.architecture.pad]}


def read(folder: pathlib.Path, values: dict[str, object], tokenizer: Tokenizer) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """The shape, for `network.build`, and the stored weights of a folder whose manifest holds `values`."""
    path = folder / values["weights"]
    if "onnx" not in values:
        shape = dict(values["architecture"])
        if not shape.pop("gru_linear_before_reset", True):
            raise InputError(f"`{path.parent}` has a GRU that resets before its product, which PyTorch cannot compute: `rnnlm-server score` can")
        return shape, load_file(path)
    cell, found = onnx_file.read(path, (*CELLS, *WINDOW_CELLS))
    if cell in CELLS:
        return onnx_recurrent.read_back(cell, found)
    window = {"context": values["onnx"]["window"], "pad": tokenizer.ids[values["onnx"]["pad"]]}
    return onnx_window.shape_of(cell, found) | window, found
