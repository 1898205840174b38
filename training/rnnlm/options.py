"""The command line of `train.py`. Every field of `Options` and `Schedule` is an option of the same name."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

from .model import CELLS
from .schedule import Schedule
from .tokenizer import RULES
from .trainer import Options
from .window import WINDOW_CELLS

HELP = {
    "learning_rate": "peak; a linear warm-up leads to it and a cosine down from it",
    "warmup_steps": "length of the warm-up",
    "steps": "end after so many updates",
    "time_limit": "end after so many seconds, those before a resume counted in",
    "sampled_until": "fraction of the run that estimates the softmax from candidates",
    "seed": "weights, dropout, order of the text and candidates follow from it",
    "batch_size": "parallel streams",
    "window": "steps of truncated back-propagation through time; the state is carried on",
    "head": "most frequent words that are always among the candidates",
    "samples": "candidates drawn from the other words",
    "dropout": "on every layer's output",
    "embedding_dropout": "on the embedding",
    "recurrent_dropout": "on the recurrent weights, anew for each window",
    "weight_decay": "of AdamW",
    "clip": "norm that gradients are cut to",
    "bf16": "products in bfloat16, weights stay float32",
    "device": "cpu or cuda",
    "valid_every": "seconds between validations",
    "checkpoint_every": "seconds between checkpoints",
}

# What makes a new network and its tokenizer; a checkpoint named by --initial says it all.
NEW = {
    "vocabulary": "word",
    "tokenizer": None,
    "vocab_size": 16_000,
    "cell": "lstm",
    "embedding_size": 256,
    "hidden_sizes": [256],
    "tie_weights": False,
    "context": 5,
}

# What a checkpoint's place in the text, or in its random numbers, depends on.
FIXED = {"seed", "batch_size", "window", "head", "samples"}


def parse_arguments(description: str, arguments: list[str] | None) -> argparse.Namespace:
    """Parses; fields of `Options` and `Schedule` that were not given are None."""
    parser = argparse.ArgumentParser(description=description)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=pathlib.Path, help="new folder for checkpoints and the log")
    place.add_argument("--resume", type=pathlib.Path, metavar="OUT", help="go on from OUT/last.pt; of the other options only those of the run count, but not " + ", ".join(sorted(FIXED)))
    text = parser.add_argument_group("text")
    text.add_argument("--train", type=pathlib.Path, help="UTF-8 text, plain or .xz")
    text.add_argument("--valid", type=pathlib.Path, help="text to validate on; else --train is split")
    text.add_argument("--split", default="90/5/5", help="per cent of --train to learn from, validate on and leave for the test, by characters (%(default)s)")
    text.add_argument("--vocabulary", help=f"one of {', '.join(RULES)} ({NEW['vocabulary']})")
    text.add_argument("--tokenizer", type=pathlib.Path, help="JSON file with the manifest's tokenizer keys and `initial_tokens`, in place of --vocabulary")
    text.add_argument("--vocab-size", type=int, help=f"entries at most ({NEW['vocab_size']})")
    network = parser.add_argument_group("network")
    network.add_argument("--initial", type=pathlib.Path, metavar="CHECKPOINT", help="start from its weights, with its tokenizer and vocabulary, in place of a new network")
    network.add_argument("--cell", help=f"one of {', '.join((*CELLS, *WINDOW_CELLS))} ({NEW['cell']})")
    network.add_argument("--embedding-size", type=int, help=f"({NEW['embedding_size']})")
    network.add_argument("--hidden-sizes", type=int, nargs="+", help=f"one a layer ({NEW['hidden_sizes']})")
    network.add_argument("--tie-weights", action="store_true", default=None, help="the output layer's weight is the embedding's")
    network.add_argument("--context", type=int, help=f"tokens that a {' or '.join(WINDOW_CELLS)} network reads ({NEW['context']})")
    run = parser.add_argument_group("run")
    for field in (*dataclasses.fields(Schedule), *dataclasses.fields(Options)):
        _add_field(run, field)
    run.add_argument("--stop-after", type=int, help="stop at this step, before the end, to be resumed (as SIGINT and SIGTERM do)")
    run.add_argument("--threads", type=int, default=1, help="of the CPU (%(default)s)")
    args = parser.parse_args(arguments)
    if args.out and not args.train:
        parser.error("--out needs --train")
    if args.out and args.steps is None and args.time_limit is None:
        parser.error("a run needs an end: --steps, --time-limit or both")
    for source, settled in (("resume", ("train", "valid", "initial", *NEW)), ("initial", NEW)):
        for name in settled:
            if getattr(args, source) and getattr(args, name) is not None:
                parser.error(f"--{name.replace('_', '-')} is what the checkpoint of --{source} says: leave it out")
    if args.context is not None and args.cell not in WINDOW_CELLS:
        parser.error(f"--context is of the cells {' and '.join(WINDOW_CELLS)}, found {args.cell or NEW['cell']}")
    for name, default in NEW.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    return args


def given_fields(args: argparse.Namespace, kind: type) -> dict[str, object]:
    """The fields of the dataclass `kind` that were given on the command line."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def _add_field(group: argparse._ArgumentGroup, field: dataclasses.Field) -> None:
    default = "" if field.default is None else f" ({field.default})"
    read = {"action": argparse.BooleanOptionalAction} if field.type == "bool" else {"type": int if "int" in field.type else float if "float" in field.type else str}
    group.add_argument(f"--{field.name.replace('_', '-')}", help=HELP[field.name] + default, **read)
