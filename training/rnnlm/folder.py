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

from . import vocabulary
from .errors import InputError
from .model import Architecture, RnnLm, load_stored_weights, stored_weights
from .tokenizer import Rule, Tokenizer

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
MANIFEST, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


def round_weights(model: RnnLm, dtype: torch.dtype) -> RnnLm:
    """The network as it will be read back from a file of `dtype`: what is measured must be what is shipped."""
    load_stored_weights(model, {name: weight.to(dtype).float() for name, weight in stored_weights(model).items()})
    return model


def write(folder: pathlib.Path, model: RnnLm, tokenizer: Tokenizer, dtype: torch.dtype, card: str) -> None:
    """Makes the folder whole or not at all; one that exists is never touched."""
    if folder.exists():
        raise InputError(f"`{folder}` exists and is not overwritten: name a new folder")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    text = json.dumps(manifest(model.architecture, tokenizer.rule), ensure_ascii=False, indent=2)
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
    # Not `save_file`: its file can be read by its owner alone, and a server may well run as another user.
    (part / WEIGHTS).write_bytes(save({name: weight.to(dtype).contiguous() for name, weight in stored_weights(model).items()}))
    (part / tokenizer.rule.file).write_text(tokenizer.file_text(), encoding="utf-8", newline="\n")
    (part / CARD).write_text(card, encoding="utf-8")
    os.rename(part, folder)


def manifest(architecture: Architecture, rule: Rule) -> dict[str, object]:
    """The content of `config.json`."""
    shape = dataclasses.asdict(architecture) | {"hidden_sizes": list(architecture.hidden_sizes)}
    if architecture.cell == "gru":
        shape["gru_linear_before_reset"] = True  # the form of PyTorch
    tokenizer = rule.to_json()
    tokenizer.pop("initial_tokens", None)
    return {
        "format_version": 1,
        "weights": WEIGHTS,
        "architecture": shape,
        "tokenizer": {"kind": tokenizer.pop("kind"), "file": rule.file, **tokenizer},
        "initial_tokens": rule.initial_tokens,
    }


def read(folder: pathlib.Path) -> tuple[RnnLm, Tokenizer]:
    """A network in float32 and its tokenizer; of the manifests a server takes, those that `write` makes."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        weights = load_file(folder / values["weights"])
        shape = {name: value for name, value in values["architecture"].items() if name != "gru_linear_before_reset"}
        architecture = Architecture(**{**shape, "hidden_sizes": tuple(shape["hidden_sizes"])})
        rule_values = {name: value for name, value in values["tokenizer"].items() if name != "file"}
        rule = Rule.from_json({**rule_values, "initial_tokens": values["initial_tokens"]}, str(folder / MANIFEST))
        tokenizer = vocabulary.read(rule, folder / values["tokenizer"]["file"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"`{folder}` cannot be read as a model folder: {error!r}") from error
    model = RnnLm(architecture)
    load_stored_weights(model, {name: weight.float() for name, weight in weights.items()})
    return model.eval(), tokenizer
