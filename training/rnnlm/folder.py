"""Model folders: the manifest, weights and vocabulary that the server loads. Knows nothing of training."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from . import onnx_window
from .errors import InputError
from .model import RnnLm, load_stored_weights, stored_weights
from .network import Network, build
from .tokenizer import Rule, Tokenizer, read_vocabulary, write_vocabulary
from .window import WindowLm

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
MANIFEST, WEIGHTS, ONNX_WEIGHTS, VOCABULARY, CARD = "config.json", "model.safetensors", "model.onnx", "vocab.txt", "README.md"


def round_weights(model: Network, dtype: torch.dtype) -> Network:
    """The network as it will be read back from a file of `dtype`: what is measured must be what is shipped."""
    if isinstance(model, WindowLm) and dtype not in onnx_window.DTYPES:
        raise InputError(f"a `{model.architecture.cell}` network is stored as ONNX, which servers read in f32 or f16, found {dtype}")
    load_stored_weights(model, {name: weight.to(dtype).float() for name, weight in stored_weights(model).items()})
    return model


def write(folder: pathlib.Path, model: Network, tokenizer: Tokenizer, dtype: torch.dtype, card: str) -> None:
    """Makes the folder whole or not at all; one that exists is never touched."""
    if folder.exists():
        raise InputError(f"`{folder}` exists and is not overwritten: name a new folder")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    text = json.dumps(manifest(model, tokenizer), ensure_ascii=False, indent=2)
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
    if isinstance(model, WindowLm):
        (part / ONNX_WEIGHTS).write_bytes(onnx_window.to_bytes(model, dtype))
    else:
        # Not `save_file`: its file can be read by its owner alone, and a server may well run as another user.
        (part / WEIGHTS).write_bytes(save({name: weight.to(dtype).contiguous() for name, weight in stored_weights(model).items()}))
    write_vocabulary(part / VOCABULARY, tokenizer.vocabulary)
    (part / CARD).write_text(card, encoding="utf-8")
    os.rename(part, folder)


def manifest(model: Network, tokenizer: Tokenizer) -> dict[str, object]:
    """The content of `config.json`."""
    rule = tokenizer.rule.to_json()
    rule.pop("initial_tokens", None)
    return {
        "format_version": 1,
        **(window_graph(model, tokenizer) if isinstance(model, WindowLm) else recurrent_weights(model)),
        "tokenizer": {"kind": rule.pop("kind"), "file": VOCABULARY, **rule},
        "initial_tokens": tokenizer.rule.initial_tokens,
    }


def recurrent_weights(model: RnnLm) -> dict[str, object]:
    """What the manifest says of the weights of a recurrent network."""
    shape = dataclasses.asdict(model.architecture) | {"hidden_sizes": list(model.architecture.hidden_sizes)}
    if model.architecture.cell == "gru":
        shape["gru_linear_before_reset"] = True  # the form of PyTorch
    return {"weights": WEIGHTS, "architecture": shape}


def window_graph(model: WindowLm, tokenizer: Tokenizer) -> dict[str, object]:
    """What the manifest says of the graph of a network that reads a window."""
    graph = {
        "tokens": onnx_window.TOKENS,
        "logits": onnx_window.LOGITS,
        "window": model.architecture.context,
        "pad": tokenizer.vocabulary[model.architecture.pad],
    }
    return {"weights": ONNX_WEIGHTS, "onnx": graph}


def read(folder: pathlib.Path) -> tuple[Network, Tokenizer]:
    """A network in float32 and its tokenizer; of the manifests a server takes, those that `write` makes."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        rule_values = {name: value for name, value in values["tokenizer"].items() if name != "file"}
        rule = Rule.from_json({**rule_values, "initial_tokens": values["initial_tokens"]}, str(folder / MANIFEST))
        tokenizer = Tokenizer(rule, read_vocabulary(folder / values["tokenizer"]["file"]))
        shape, weights = (read_window if "onnx" in values else read_recurrent)(folder, values, tokenizer)
        model = build(shape)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"`{folder}` cannot be read as a model folder: {error!r}") from error
    load_stored_weights(model, {name: weight.float() for name, weight in weights.items()})
    return model.eval(), tokenizer


Stored = tuple[dict[str, object], dict[str, torch.Tensor]]


def read_recurrent(folder: pathlib.Path, values: dict[str, object], _: Tokenizer) -> Stored:
    """The shape and the weights of a folder with safetensors."""
    shape = {name: value for name, value in values["architecture"].items() if name != "gru_linear_before_reset"}
    return shape, load_file(folder / values["weights"])


def read_window(folder: pathlib.Path, values: dict[str, object], tokenizer: Tokenizer) -> Stored:
    """The shape and the weights of a folder with the graph of a network that reads a window."""
    cell, weights = onnx_window.read(folder / values["weights"])
    vocab_size, embedding_size = weights["encoder.weight"].shape
    shape = {
        "cell": cell,
        "vocab_size": vocab_size,
        "embedding_size": embedding_size,
        "hidden_sizes": [len(weights["hidden.bias"])],
        "tie_weights": "decoder.weight" not in weights,
        "context": values["onnx"]["window"],
        "pad": tokenizer.ids[values["onnx"]["pad"]],
    }
    return shape, weights
