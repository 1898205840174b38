"""Model folders: the manifest, weights and vocabulary that the server loads. Knows nothing of training."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil

from safetensors import SafetensorError

from . import storage, vocabulary
from .errors import InputError
from .model import load_stored_weights
from .network import Network, build
from .storage import WeightsFile
from .tokenizer import Rule, Tokenizer

MANIFEST, CARD = "config.json", "README.md"


@dataclasses.dataclass(frozen=True)
class Parts:
    """What goes into a folder."""

    weights: WeightsFile
    tokenizer: Tokenizer
    card: str


def write(folder: pathlib.Path, parts: Parts) -> None:
    """Makes the folder whole or not at all; one that exists is never touched."""
    refuse_existing(folder)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rule = parts.tokenizer.rule
    text = json.dumps(manifest(parts.weights, rule), ensure_ascii=False, indent=2)
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
    (part / parts.weights.manifest["weights"]).write_bytes(parts.weights.data)
    (part / rule.file).write_text(parts.tokenizer.file_text(), encoding="utf-8", newline="\n")
    (part / CARD).write_text(parts.card, encoding="utf-8")
    os.rename(part, folder)


def refuse_existing(folder: pathlib.Path) -> None:
    """Said before the work as well as at its end."""
    if folder.exists():
        raise InputError(f"`{folder}` exists and is not overwritten: name a new folder")


def manifest(weights: WeightsFile, rule: Rule) -> dict[str, object]:
    """The content of `config.json`."""
    tokenizer = rule.to_json()
    tokenizer.pop("initial_tokens", None)
    return {
        "format_version": 1,
        **weights.manifest,
        "tokenizer": {"kind": tokenizer.pop("kind"), "file": rule.file, **tokenizer},
        "initial_tokens": rule.initial_tokens,
    }


def read(folder: pathlib.Path) -> tuple[Network, Tokenizer]:
    """A network in float32 and its tokenizer; of the manifests a server takes, those that `write` makes."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        rule_values = {name: value for name, value in values["tokenizer"].items() if name != "file"}
        rule = Rule.from_json({**rule_values, "initial_tokens": values["initial_tokens"]}, str(folder / MANIFEST))
        tokenizer = vocabulary.read(rule, folder / values["tokenizer"]["file"])
        shape, weights = storage.read(folder, values, tokenizer)
        model = build(shape)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"`{folder}` cannot be read as a model folder: {error!r}") from error
    load_stored_weights(model, {name: weight.float() for name, weight in weights.items()})
    return model.eval(), tokenizer
