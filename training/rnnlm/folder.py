"""Model folders: the manifest, weights and vocabulary that the server loads. Knows nothing of training."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

from safetensors import SafetensorError

from . import storage, vocabulary
from .errors import InputError
from .model import load_stored_weights
from .network import Network, build
from .storage import FORMATS, Storage
from .tokenizer import Rule, Tokenizer

MANIFEST, CARD = "config.json", "README.md"


def write(folder: pathlib.Path, model: Network, tokenizer: Tokenizer, stored: Storage, card: str) -> None:
    """Makes the folder whole or not at all; one that exists is never touched."""
    if folder.exists():
        raise InputError(f"`{folder}` exists and is not overwritten: name a new folder")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    text = json.dumps(manifest(model, tokenizer, stored), ensure_ascii=False, indent=2)
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
    (part / FORMATS[stored.format]).write_bytes(storage.file_bytes(model, stored))
    (part / tokenizer.rule.file).write_text(tokenizer.file_text(), encoding="utf-8", newline="\n")
    (part / CARD).write_text(card, encoding="utf-8")
    os.rename(part, folder)


def manifest(model: Network, tokenizer: Tokenizer, stored: Storage) -> dict[str, object]:
    """The content of `config.json`."""
    rule = tokenizer.rule.to_json()
    rule.pop("initial_tokens", None)
    return {
        "format_version": 1,
        **storage.manifest_part(model, tokenizer, stored),
        "tokenizer": {"kind": rule.pop("kind"), "file": tokenizer.rule.file, **rule},
        "initial_tokens": tokenizer.rule.initial_tokens,
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
