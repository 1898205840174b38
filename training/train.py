"""Trains a recurrent language model on a text: `train.py --train corpus.txt --out checkpoints/mine --time-limit 1800`, `train.py --resume checkpoints/mine`."""

from __future__ import annotations

import argparse
import contextlib
import math
import pathlib
import signal
import sys
from collections.abc import Iterator

import torch

from rnnlm import checkpoint, errors, vocabulary
from rnnlm.card import command
from rnnlm.corpus import Texts, read_texts, stream
from rnnlm.errors import InputError
from rnnlm.network import Network, build
from rnnlm.options import FIXED, given_fields, parse_arguments
from rnnlm.schedule import Schedule
from rnnlm.tokenizer import RULES, Rule, Tokenizer, read_rule
from rnnlm.trainer import Data, Options, Trainer, start_from_unigrams
from rnnlm.window import WINDOW_CELLS

# A network, the tokenizer it goes with, and the ids `[tokens]` that it learns from.
Beginning = tuple[Network, Tokenizer, torch.Tensor]


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(__doc__, arguments)
    torch.set_num_threads(args.threads)
    trainer, folder = resumed(args) if args.resume else started(args)
    trainer.commands.append(command("train.py", sys.argv[1:] if arguments is None else arguments))
    trainer.stop_at = math.inf if args.stop_after is None else args.stop_after
    with stopping_on_signals(trainer):
        trainer.run(folder)
    print(f"stopped at step {trainer.step}: {folder / 'last.pt'}, lowest valid loss in {folder / 'best.pt'}")


@contextlib.contextmanager
def stopping_on_signals(trainer: Trainer) -> Iterator[None]:
    """Inside, SIGINT and SIGTERM end the run with a checkpoint."""
    before = {number: signal.signal(number, lambda *_: trainer.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def started(args: argparse.Namespace) -> tuple[Trainer, pathlib.Path]:
    """A run from its beginning."""
    if args.out.exists():
        raise InputError(f"`{args.out}` exists and is not overwritten: name a new folder, or go on with --resume")
    texts = read_texts(args.train, args.valid, args.split)
    options = Options(**given_fields(args, Options))
    schedule = Schedule(**given_fields(args, Schedule))
    initial = checkpoint.load(args.initial) if args.initial else None
    torch.manual_seed(options.seed)
    model, tokenizer, train = initial_network(initial, texts) if initial else new_network(args, texts)
    sources = {"train": str(args.train), "valid": str(args.valid or ""), "split": args.split}
    data = Data(train, stream(tokenizer, tokenizer.encode(texts.valid)), sources)
    trainer = Trainer(model, tokenizer, data, schedule, options)
    if initial:
        trainer.follow(initial)
    args.out.mkdir(parents=True)
    if texts.test is not None:
        (args.out / "test.txt").write_text(texts.test, encoding="utf-8", newline="")
    print(f"{len(data.train):,} tokens, vocabulary {len(tokenizer.vocabulary):,}, {sum(p.numel() for p in trainer.model.parameters()):,} parameters")
    return trainer, args.out


def initial_network(initial: dict[str, object], texts: Texts) -> Beginning:
    """The network of another run's checkpoint."""
    model, tokenizer = checkpoint.restore_model(initial)
    return model, tokenizer, stream(tokenizer, tokenizer.encode(texts.train))


def new_network(args: argparse.Namespace, texts: Texts) -> Beginning:
    """The network that the command line describes, with random weights."""
    tokenizer, ids = vocabulary.learn(chosen_rule(args), texts.train, args.vocab_size)
    train = stream(tokenizer, ids)
    model = build(described_shape(args, tokenizer))
    start_from_unigrams(model, train)
    return model, tokenizer, train


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
            raise InputError(f"a `{args.cell}` network needs `initial_tokens` in the tokenizer's rule: they stand before a text")
        shape |= {"context": args.context, "pad": initial[0]}
    return shape


def resumed(args: argparse.Namespace) -> tuple[Trainer, pathlib.Path]:
    """A run from its last checkpoint, with what was given anew in place of what it was started with."""
    given = given_fields(args, Options)
    for name in FIXED & given.keys():
        raise InputError(f"`{name}` cannot change when a run is resumed: the checkpoint's place in the text depends on it")
    values = checkpoint.load(args.resume / "last.pt")
    model, tokenizer = checkpoint.restore_model(values)
    options = Options(**{**values["options"], **given})
    schedule = Schedule(**{**values["schedule"], **given_fields(args, Schedule)})
    data = same_data(tokenizer, values["data"])
    trainer = Trainer(model, tokenizer, data, schedule, options)
    trainer.restore(values)
    return trainer, args.resume


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
        raise InputError(f"vocabulary `{args.vocabulary}` is not supported, expected one of {', '.join(RULES)}")
    return RULES[args.vocabulary]


if __name__ == "__main__":
    errors.run(main)
