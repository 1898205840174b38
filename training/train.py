"""Trains a recurrent language model on a text: `train.py --train corpus.txt --out checkpoints/mine --time-limit 1800`, `train.py --resume checkpoints/mine`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import pathlib
import shutil
import signal
import sys
from collections.abc import Iterator

import torch

from rnnlm import checkpoint, coverage, errors, reading, vocabulary
from rnnlm.architecture import WINDOW_CELLS
from rnnlm.card import trained_on
from rnnlm.command import command
from rnnlm.corpus import Texts, read_texts, stream
from rnnlm.errors import InputError
from rnnlm.folder import MANIFEST
from rnnlm.network import Network, build
from rnnlm.options import FIXED, given_fields, parse_arguments
from rnnlm.schedule import Schedule
from rnnlm.tokenizer import RULES, Rule, Tokenizer, read_rule
from rnnlm.trainer import Data, Options, Trainer, start_from_unigrams


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(__doc__, arguments)
    torch.set_num_threads(args.threads)
    check_device(args.device)
    if args.resume:
        trainer = resumed(args)
        run(trainer, args.resume, args, arguments)
        return
    refuse_existing(args.out)
    texts = read_texts(args.train, args.valid, args.split)
    trainer = started(args, texts)
    with created(args.out):
        if texts.test is not None:
            (args.out / "test.txt").write_text(texts.test, encoding="utf-8", newline="")
        run(trainer, args.out, args, arguments)


def run(trainer: Trainer, folder: pathlib.Path, args: argparse.Namespace, arguments: list[str] | None) -> None:
    """The run itself, and what it leaves."""
    trainer.commands.append(command("train.py", sys.argv[1:] if arguments is None else arguments))
    trainer.stop_at = math.inf if args.stop_after is None else args.stop_after
    with stopping_on_signals(trainer):
        trainer.run(folder)
    last, best = folder / "last.pt", folder / "best.pt"
    found = f"the lowest loss on valid is in {best}" if best.is_file() else f"it was not validated yet: export {last}, or continue with --resume {folder}"
    print(f"stopped at step {trainer.step}: {last}; {found}")


def refuse_existing(folder: pathlib.Path) -> None:
    if folder.exists():
        raise InputError(f"`{folder}` exists and is not overwritten: name a new folder, or continue with --resume")


@contextlib.contextmanager
def created(folder: pathlib.Path) -> Iterator[None]:
    """A new folder, which is removed if the run fails before its first checkpoint, so that a retry may use its name."""
    folder.mkdir(parents=True)
    try:
        yield
    except BaseException:
        if not any(folder.glob("*.pt")):
            shutil.rmtree(folder)
        raise


@contextlib.contextmanager
def stopping_on_signals(trainer: Trainer) -> Iterator[None]:
    """Inside, SIGINT and SIGTERM end the run with a checkpoint."""
    before = {number: signal.signal(number, lambda *_: trainer.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_device(device: str | None) -> None:
    """Refuses a device that PyTorch cannot use."""
    if device not in (None, "cpu", "cuda"):
        raise InputError(f"device `{device}` is not supported; supported are cpu and cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device `cuda` was asked for, and PyTorch finds no GPU here: leave --device out")


@dataclasses.dataclass(frozen=True)
class Beginning:
    """What a run starts from: a network, the tokenizer it goes with, and where its weights come from."""

    network: Network
    tokenizer: Tokenizer
    commands: list[str] = dataclasses.field(default_factory=list)
    description: dict[str, object] | None = None  # of the weights, for the card; None for random ones


def started(args: argparse.Namespace, texts: Texts) -> Trainer:
    """A run from its beginning."""
    options = Options(**given_fields(args, Options))
    schedule = Schedule(**given_fields(args, Schedule))
    torch.manual_seed(options.seed)
    begin = initial_network(args.initial) if args.initial else new_network(args, texts)
    parts = {name: coverage.measure(name, begin.tokenizer, text) for name, text in dataclasses.asdict(texts).items() if text is not None}
    coverage.report(begin.tokenizer, list(parts.values()), texts.train)
    train = stream(begin.tokenizer, parts["train"].ids)
    if begin.description is None:
        start_from_unigrams(begin.network, train)
    sources = {"train": str(args.train.resolve()), "valid": str(args.valid.resolve()) if args.valid else "", "split": args.split}
    trainer = Trainer(begin.network, begin.tokenizer, Data(train, stream(begin.tokenizer, parts["valid"].ids), sources), schedule, options)
    if begin.description is not None:
        trainer.follow(begin.commands, begin.description)
    print(f"vocabulary {len(begin.tokenizer.vocabulary):,}, {sum(p.numel() for p in trainer.model.parameters()):,} parameters")
    return trainer


def initial_network(path: pathlib.Path) -> Beginning:
    """The network of a checkpoint, of a run's folder, or of a model folder."""
    if (path / MANIFEST).is_file():
        network, tokenizer = reading.read(path)
        return Beginning(network, tokenizer, [], {"what": f"the model folder `{path.resolve().name}`"})
    values = checkpoint.load(checkpoint.of_run(path))
    network, tokenizer = checkpoint.restore_model(values)
    return Beginning(network, tokenizer, values["commands"], {"what": trained_on(values)})


def new_network(args: argparse.Namespace, texts: Texts) -> Beginning:
    """The network that the command line describes, with random weights."""
    tokenizer = vocabulary.learn(chosen_rule(args), texts.train, vocabulary.Limits(args.vocab_size, args.min_count))
    return Beginning(build(described_shape(args, tokenizer)), tokenizer)


def described_shape(args: argparse.Namespace, tokenizer: Tokenizer) -> dict[str, object]:
    """The architecture that the command line describes."""
    shape = {
        "cell": args.cell,
        "vocab_size": len(tokenizer.vocabulary),
        "embedding_size": args.embedding_size,
        "hidden_sizes": args.hidden_sizes,
        "tie_weights": args.tie_weights,
    }
    if args.cell in WINDOW_CELLS:
        initial = tokenizer.initial_ids()
        if not initial:
            raise InputError(f"a `{args.cell}` network needs `initial_tokens` in the tokenizer's rule: the first of them stands before a text")
        shape |= {"context": args.context, "pad": initial[0]}
    return shape


def resumed(args: argparse.Namespace) -> Trainer:
    """A run from its last checkpoint; options that were given replace those it was started with."""
    given = given_fields(args, Options)
    for name in FIXED & given.keys():
        raise InputError(f"`{name}` cannot change when a run is resumed: the checkpoint's place in the text depends on it")
    values = checkpoint.load(args.resume / "last.pt")
    model, tokenizer = checkpoint.restore_model(values)
    options = Options(**{**values["options"], **given})
    check_device(options.device)
    schedule = Schedule(**{**values["schedule"], **given_fields(args, Schedule)})
    data = same_data(tokenizer, values["data"])
    trainer = Trainer(model, tokenizer, data, schedule, options)
    trainer.restore(values)
    return trainer


def same_data(tokenizer: Tokenizer, description: dict[str, str]) -> Data:
    """The data of a checkpoint, read again; a text that has changed since is refused."""
    sources = {name: description[name] for name in ("train", "valid", "split")}
    valid = pathlib.Path(sources["valid"]) if sources["valid"] else None
    texts = read_texts(pathlib.Path(sources["train"]), valid, sources["split"])
    data = Data(stream(tokenizer, tokenizer.encode(texts.train)), stream(tokenizer, tokenizer.encode(texts.valid)), sources)
    found = data.description()
    if found != description:
        raise InputError(
            f"`{sources['train']}` is not the text that the run was started on: found {found['train_tokens']} tokens with digest "
            f"{found['digest'][:12]}, expected {description['train_tokens']} with {description['digest'][:12]}"
        )
    return data


def chosen_rule(args: argparse.Namespace) -> Rule:
    """How text is split."""
    if args.tokenizer:
        return read_rule(args.tokenizer)
    if args.vocabulary not in RULES:
        raise InputError(f"vocabulary `{args.vocabulary}` is not supported; supported are {', '.join(RULES)}")
    return RULES[args.vocabulary]


if __name__ == "__main__":
    errors.run(main)
