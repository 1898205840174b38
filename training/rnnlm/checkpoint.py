"""What a run writes to disk: everything that is needed to continue it, bit for bit."""

from __future__ import annotations

import os
import pathlib

import torch

from .errors import InputError
from .network import Network, build
from .tokenizer import Rule, Tokenizer
from .vocabulary import restored

FORMAT = "rnnlm-training-1"


def save(path: pathlib.Path, values: dict[str, object]) -> None:
    """Writes atomically: whatever happens, a reader finds the old file or the new one, never a part."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save({"format": FORMAT, **values}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def of_run(path: pathlib.Path) -> pathlib.Path:
    """The checkpoint that a path means: itself, or of a run's folder `best.pt` or, before the first validation, `last.pt`."""
    if not path.is_dir():
        return path
    best = path / "best.pt"
    return best if best.is_file() else path / "last.pt"


def load(path: pathlib.Path) -> dict[str, object]:
    """Reads a checkpoint. It holds tensors and plain values only; a pickle of anything else is refused."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    # Bytes that are not a pickle fail anywhere in the unpickler, with whatever its code raises there.
    except Exception as error:
        raise InputError(f"`{path}` cannot be read as a checkpoint: {next(iter(str(error).splitlines()), repr(error))}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise InputError(f"`{path}` is not a checkpoint of this program: found format {found!r}, expected {FORMAT!r}")
    return values


def restore_model(values: dict[str, object]) -> tuple[Network, Tokenizer]:
    """The network, in evaluation mode and without dropout, and the tokenizer of a loaded checkpoint."""
    model = build(values["architecture"])
    try:
        model.load_state_dict(values["model"])
    except RuntimeError as error:
        shape = model.architecture
        raise InputError(f"the checkpoint's weights are not those of its architecture, {shape.cell} {shape.hidden_sizes}: {' '.join(str(error).split())}") from error
    return model.eval(), restored(Rule.from_json(values["rule"], "checkpoint"), values["vocabulary"])
