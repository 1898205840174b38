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

from .errors import InputError
from .model import Architecture, RnnLm, load_stored_weights, stored_weights
from .tokenizer import Rule, Tokenizer, read_vocabulary, write_vocabulary

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
MANIFEST, WEIGHTS, VOCABULARY, CARD = "config.json", "model.safetensors", "vocab.txt", "README.md"


def round_weights(model: RnnLm, dtype: torch.dtype) -> RnnLm:
    """The network as it will be read back from a file of `dtype`: what is measured must be what is shipped."""
    load_stored_weights(model, {name: weight.to(dtype).float() for name, weight in stored_weights(model).items()})
    return model


def write(folder: pathlib.Path, model: RnnLm, tokenizer: Tokenizer, dtype: torch.dtype, card: str) -> None:
    """Makes the folder of a network of this package."""
    shape = dataclasses.asdict(model.architecture) | {"hidden_sizes": list(model.architecture.hidden_sizes)}
    if model.architecture.cell == "gru":
        shape["gru_linear_before_reset"] = True  # the form of PyTorch
    weights = {name: weight.to(dtype) for name, weight in stored_weights(model).items()}
    write_parts(folder, Parts(shape, weights, tokenizer, card))


@dataclasses.dataclass(frozen=True)
class Parts:
    """What goes into a folder."""

    shape: dict[str, object]  # the manifest's `architecture`
    weights: dict[str, torch.Tensor]  # under the names that the server reads, in the type to be stored
    tokenizer: Tokenizer
    card: str


def write_parts(folder: pathlib.Path, parts: Parts) -> None:
    """Makes the folder whole or not at all; one that exists is never touched."""
    refuse_existing(folder)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    text = json.dumps(manifest(parts.shape, parts.tokenizer.rule), ensure_ascii=False, indent=2)
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
    # Not `save_file`: its file can be read by its owner alone, and a server may well run as another user.
    (part / WEIGHTS).write_bytes(save({name: weight.contiguous() for name, weight in parts.weights.items()}))
    write_vocabulary(part / VOCABULARY, parts.tokenizer.vocabulary)
    (part / CARD).write_text(parts.card, encoding="utf-8")
    os.rename(part, folder)


def refuse_existing(folder: pathlib.Path) -> None:
    """Said before the work as well as at its end."""
    if folder.exists():
        raise InputError(f"`{folder}` exists and is not overwritten: name a new folder")


def manifest(shape: dict[str, object], rule: Rule) -> dict[str, object]:
    """The content of `config.json`."""
    tokenizer = rule.to_json()
    tokenizer.pop("initial_tokens", None)
    return {
        "format_version": 1,
        "weights": WEIGHTS,
        "architecture": shape,
        "tokenizer": {"kind": tokenizer.pop("kind"), "file": VOCABULARY, **tokenizer},
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
        vocabulary = read_vocabulary(folder / values["tokenizer"]["file"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"`{folder}` cannot be read as a model folder: {error!r}") from error
    model = RnnLm(architecture)
    load_stored_weights(model, {name: weight.float() for name, weight in weights.items()})
    return model.eval(), Tokenizer(rule, vocabulary)
