"""Model folders as the server loads them: manifest, weights, vocabulary and card. Knows nothing of training, and needs no PyTorch."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil

from .errors import InputError
from .tokenizer import Rule, Tokenizer
from .weights_file import WeightsFile

MANIFEST, CARD = "config.json", "README.md"


@dataclasses.dataclass(frozen=True)
class Parts:
    """What goes into a folder."""

    weights: WeightsFile
    tokenizer: Tokenizer
    card: str


def write(folder: pathlib.Path, parts: Parts) -> None:
    """Creates the whole folder or nothing; a folder that exists is never touched."""
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
    """Checked before the work as well as at its end."""
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
