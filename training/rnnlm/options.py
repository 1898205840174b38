"""The command line of `train.py`. Every field of `Options` and `Schedule` is an option of the same name, within the limits given here."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

from . import bounds
from .architecture import CELLS, WINDOW_CELLS
from .schedule import Schedule
from .tokenizer import RULES
from .trainer import Options

STEPS_MAX = 10**12
SECONDS_MAX = 1e9
SIZE_MAX = 1 << 16

# What each option of a run means, and what it accepts.
RUN = {
    "learning_rate": ("peak, reached by a linear warm-up and followed by a cosine decay", bounds.number(0.0, 1e3)),
    "warmup_steps": ("length of the warm-up", bounds.whole(0, STEPS_MAX)),
    "steps": ("end after this many updates", bounds.whole(1, STEPS_MAX)),
    "time_limit": ("end after this many seconds, including those before a resume", bounds.positive(SECONDS_MAX)),
    "sampled_until": ("fraction of the run in which the softmax is estimated from candidates", bounds.number(0.0, 1.0)),
    "seed": ("determines the initial weights, dropout, the order of the text and the candidates", bounds.whole(0, 1 << 40)),
    "batch_size": ("parallel streams", bounds.whole(1, SIZE_MAX)),
    "window": ("steps of truncated back-propagation through time; the state is carried on", bounds.whole(1, SIZE_MAX)),
    "head": ("most frequent words, which are always among the candidates", bounds.whole(0, 1 << 24)),
    "samples": ("candidates drawn from the other words", bounds.whole(0, 1 << 24)),
    "dropout": ("on the output of every layer", bounds.probability),
    "embedding_dropout": ("on the embedding", bounds.probability),
    "recurrent_dropout": ("on the recurrent weights, drawn once for each window", bounds.probability),
    "weight_decay": ("of AdamW", bounds.number(0.0, 1e3)),
    "clip": ("norm to which gradients are clipped", bounds.positive(1e9)),
    "bf16": ("compute products in bfloat16; weights stay float32", None),
    "device": ("cpu or cuda", str),
    "valid_every": ("seconds between validations", bounds.number(0.0, SECONDS_MAX)),
    "checkpoint_every": ("seconds between checkpoints", bounds.number(0.0, SECONDS_MAX)),
    "log_every": ("updates between lines of log.csv", bounds.whole(1, STEPS_MAX)),
}

# What describes a new network and its tokenizer; --initial takes all of it from a checkpoint or a model folder.
NEW = {
    "vocabulary": "word",
    "tokenizer": None,
    "vocab_size": 16_000,
    "min_count": None,
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
    place.add_argument("--out", type=pathlib.Path, help="new folder for checkpoints and logs")
    place.add_argument(
        "--resume", type=pathlib.Path, metavar="OUT", help=f"continue from OUT/last.pt; takes new values for the options of the run, except {', '.join(sorted(FIXED))}"
    )
    _add_text(parser.add_argument_group("text"))
    _add_network(parser.add_argument_group("network"))
    run = parser.add_argument_group("run")
    for field in (*dataclasses.fields(Schedule), *dataclasses.fields(Options)):
        _add_field(run, field)
    run.add_argument("--stop-after", type=bounds.whole(1, STEPS_MAX), help="stop after this update, before the end, to be resumed later (as SIGINT and SIGTERM do)")
    run.add_argument("--threads", type=bounds.THREADS, default=1, help="CPU threads (%(default)s)")
    args = parser.parse_args(arguments)
    _check(parser, args)
    for name, default in NEW.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    return args


def given_fields(args: argparse.Namespace, kind: type) -> dict[str, object]:
    """The fields of the dataclass `kind` that were given on the command line."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def _add_text(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--train", type=pathlib.Path, help="UTF-8 text, plain or .xz")
    group.add_argument("--valid", type=pathlib.Path, help="text to validate on; without it --train is split")
    group.add_argument("--split", default="90/5/5", help="per cent of --train to learn from, to validate on and to leave for the test, by characters (%(default)s)")
    group.add_argument("--vocabulary", help=f"one of {', '.join(RULES)} ({NEW['vocabulary']})")
    group.add_argument("--tokenizer", type=pathlib.Path, help="JSON file with the manifest's tokenizer keys and `initial_tokens`, instead of --vocabulary")
    group.add_argument("--vocab-size", type=bounds.whole(1, 1 << 24), help=f"maximum number of entries ({NEW['vocab_size']})")
    group.add_argument(
        "--min-count", type=bounds.whole(1, STEPS_MAX), help="entries that occur less often are unknown, if the rule has `unk` (5 for characters; 2 for words, if all would fit)"
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    size = bounds.whole(1, SIZE_MAX)
    group.add_argument("--initial", type=pathlib.Path, metavar="PATH", help="start from the weights, tokenizer and vocabulary of a checkpoint or a model folder, instead of a new network")
    group.add_argument("--cell", help=f"one of {', '.join(CELLS)} ({NEW['cell']})")
    group.add_argument("--embedding-size", type=size, help=f"({NEW['embedding_size']})")
    group.add_argument("--hidden-sizes", type=size, nargs="+", help=f"one for each layer ({NEW['hidden_sizes']})")
    group.add_argument("--tie-weights", action="store_true", default=None, help="use the embedding as the weight of the output layer")
    group.add_argument("--context", type=size, help=f"tokens that a {' or '.join(WINDOW_CELLS)} network reads ({NEW['context']})")


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Options that do not go together."""
    if args.out and not args.train:
        parser.error("--out needs --train")
    if args.out and args.steps is None and args.time_limit is None:
        parser.error("a run needs an end: --steps, --time-limit or both")
    for source, settled in (("resume", ("train", "valid", "initial", *NEW)), ("initial", NEW)):
        for name in settled:
            if getattr(args, source) and getattr(args, name) is not None:
                parser.error(f"--{name.replace('_', '-')} is settled by --{source}: leave it out")
    if args.context is not None and args.cell not in WINDOW_CELLS:
        parser.error(f"--context is for the cells {' and '.join(WINDOW_CELLS)}; found {args.cell or NEW['cell']}")


def _add_field(group: argparse._ArgumentGroup, field: dataclasses.Field) -> None:
    meaning, accepted = RUN[field.name]
    default = "" if field.default is None else f" ({field.default})"
    read = {"action": argparse.BooleanOptionalAction} if accepted is None else {"type": accepted}
    group.add_argument(f"--{field.name.replace('_', '-')}", help=meaning.replace("%", "%%") + default, **read)
