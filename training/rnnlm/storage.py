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


def file_bytes(model: Network, storage: Storage) -> bytes:
    """The content of the file."""
    dtype = DTYPES[storage.dtype]
    if storage.format == "onnx":
        return (onnx_window if isinstance(model, WindowLm) else onnx_recurrent).to_bytes(model, dtype)
    return save({name: weight.to(dtype).contiguous() for name, weight in stored_weights(model).items()})


def manifest_part(model: Network, tokenizer: Tokenizer, storage: Storage) -> dict[str, object]:
    """What the manifest says of the weights."""
    part: dict[str, object] = {"weights": FORMATS[storage.format]}
    if storage.format == "onnx":
        return part | {"onnx": graph_names(model, tokenizer)}
    shape = dataclasses.asdict(model.architecture) | {"hidden_sizes": list(model.architecture.hidden_sizes)}
    if model.architecture.cell == "gru":
        shape["gru_linear_before_reset"] = True  # the form of PyTorch
    return part | {"architecture": shape}


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
        return {name: value for name, value in values["architecture"].items() if name != "gru_linear_before_reset"}, load_file(path)
    cell, found = onnx_file.read(path, (*CELLS, *WINDOW_CELLS))
    if cell in CELLS:
        return onnx_recurrent.read_back(cell, found)
    window = {"context": values["onnx"]["window"], "pad": tokenizer.ids[values["onnx"]["pad"]]}
    return onnx_window.shape_of(cell, found) | window, found
