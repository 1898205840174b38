"""Model folders read back into networks of PyTorch, to be measured or trained further: those of this package, and others that the server reads."""

from __future__ import annotations

import json
import pathlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from . import onnx_file, onnx_graph, onnx_window, vocabulary
from .architecture import WINDOW_CELLS
from .errors import InputError
from .folder import MANIFEST
from .model import load_stored_weights
from .network import Network, build
from .tokenizer import Rule, Tokenizer


def read(folder: pathlib.Path) -> tuple[Network, Tokenizer]:
    """A network in float32 and its tokenizer."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        rule_values = {name: value for name, value in values["tokenizer"].items() if name != "file"}
        rule = Rule.from_json({**rule_values, "initial_tokens": values.get("initial_tokens", [])}, str(folder / MANIFEST))
        tokenizer = vocabulary.read(rule, folder / values["tokenizer"]["file"])
        shape, weights = read_weights(folder / values["weights"], values, tokenizer)
        model = build(shape)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"`{folder}` cannot be read as a model folder: {error!r}") from error
    if model.architecture.vocab_size != len(tokenizer.vocabulary):
        raise InputError(f"`{folder}` has a vocabulary of {len(tokenizer.vocabulary)} entries and a network of {model.architecture.vocab_size}")
    load_stored_weights(model, {name: weight.float() for name, weight in weights.items()})
    return model.eval(), tokenizer


def read_weights(path: pathlib.Path, values: dict[str, object], tokenizer: Tokenizer) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """The shape, for `network.build`, and the stored weights of a file that a manifest with these `values` describes."""
    if path.suffix != ".onnx":
        return dict(values["architecture"]), load_file(path)
    names = values.get("onnx", {})
    window = {}
    if isinstance(names.get("window"), int):
        pad = tokenizer.ids[names["pad"]] if "pad" in names else 0
        window = {"context": names["window"], "pad": pad}
    graph = onnx_file.read(path)
    if graph.name in WINDOW_CELLS and window:
        tensors = onnx_file.initializers(graph)
        shape = onnx_window.shape_of(graph.name, tensors)
    else:
        known = values.get("architecture", {}).get("gru_linear_before_reset")
        shape, tensors = onnx_graph.network_in(path, known)
    return shape | window, {name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()}
