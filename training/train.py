"""Trains a recurrent language model on a text: `train.py --train corpus.txt --out checkpoints/mine`, `train.py --resume checkpoints/mine`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import pathlib
import signal
from collections.abc import Iterator

import torch

from rnnlm import checkpoint, errors
from rnnlm.corpus import read_text, split_text, stream
from rnnlm.errors import InputError
from rnnlm.model import CELLS, Architecture, RnnLm
from rnnlm.schedule import Schedule
from rnnlm.tokenizer import Rule, Splitter, Tokenizer, build_vocabulary
from rnnlm.trainer import Data, Options, Trainer

# What `--vocabulary` stands for when no `--tokenizer` gives a rule of its own.
RULES = {
    "word": Rule(kind="word", unk="<unk>", eos="<eos>", newline="<eos>", initial_tokens=["<eos>"]),
    "char": Rule(kind="char", initial_tokens=["\n"]),
    "whitespace": Rule(kind="whitespace", unk="<unk>", eos="<eos>", newline="<eos>", initial_tokens=["<eos>"]),
}


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    torch.set_num_threads(args.threads)
    trainer, folder = resumed(args) if args.resume else started(args)
    trainer.stop_at = math.inf if args.stop_after is None else args.stop_after
    with stopping_on_signals(trainer):
        trainer.run(folder)
    print(f"stopped at step {trainer.step}: {folder / 'last.pt'}, lowest valid loss in {folder / 'best.pt'}")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=pathlib.Path, help="new folder for checkpoints and the log")
    place.add_argument("--resume", type=pathlib.Path, metavar="OUT", help="go on from OUT/last.pt; only --steps, --time-limit, --stop-after and --threads count")
    text = parser.add_argument_group("text")
    text.add_argument("--train", type=pathlib.Path, help="UTF-8 text, plain or .xz")
    text.add_argument("--valid", type=pathlib.Path, help="text to validate on; else --train is split")
    text.add_argument("--split", default="90/5/5", help="per cent of --train to learn from, validate on and leave for the test, by characters")
    text.add_argument("--vocabulary", default="word", help=f"one of {', '.join(RULES)}")
    text.add_argument("--tokenizer", type=pathlib.Path, help="JSON file with the manifest's tokenizer keys and `initial_tokens`, in place of --vocabulary")
    text.add_argument("--vocab-size", type=int, default=16_000, help="entries at most")
    network = parser.add_argument_group("network")
    network.add_argument("--cell", default="lstm", help=f"one of {', '.join(CELLS)}")
    network.add_argument("--embedding-size", type=int, default=256)
    network.add_argument("--hidden-sizes", type=int, nargs="+", default=[256], help="one a layer")
    network.add_argument("--tie-weights", action="store_true")
    run = parser.add_argument_group("run")
    run.add_argument("--steps", type=int, help="end after so many updates")
    run.add_argument("--time-limit", type=float, help="end after so many seconds, those before a resume counted in")
    run.add_argument("--stop-after", type=int, help="stop at this step, before the end, to be resumed (as SIGINT and SIGTERM do)")
    run.add_argument("--learning-rate", type=float, default=3e-3, help="peak")
    run.add_argument("--warmup-steps", type=int, default=200)
    run.add_argument("--sampled-until", type=float, default=0.0, help="fraction of the run that estimates the softmax from candidates")
    run.add_argument("--threads", type=int, default=1)
    defaults = Options(
        seed=1, batch_size=64, window=35, dropout=0.1, embedding_dropout=0.1, recurrent_dropout=0.0, weight_decay=0.01, clip=0.5, bf16=False, device="cuda" if torch.cuda.is_available() else "cpu",
        head=2048, samples=2048, valid_every=300.0, checkpoint_every=300.0,
    )  # fmt: skip
    for field in dataclasses.fields(Options):
        default = getattr(defaults, field.name)
        kind = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        run.add_argument(f"--{field.name.replace('_', '-')}", help=OPTION_HELP[field.name], **kind)
    args = parser.parse_args(arguments)
    if args.out and not args.train:
        parser.error("--out needs --train")
    if args.out and args.steps is None and args.time_limit is None:
        parser.error("a run needs an end: --steps, --time-limit or both")
    return args


OPTION_HELP = {
    "seed": "weights, dropout, order of the text and candidates follow from it",
    "batch_size": "parallel streams",
    "window": "steps of truncated back-propagation through time; the state is carried on",
    "dropout": "on every layer's output",
    "embedding_dropout": "on the embedding",
    "recurrent_dropout": "on the recurrent weights, anew for each window",
    "weight_decay": "of AdamW",
    "clip": "norm that gradients are cut to",
    "bf16": "products in bfloat16, weights stay float32",
    "device": "cpu or cuda",
    "head": "most frequent words that are always among the candidates",
    "samples": "words drawn from the rest",
    "valid_every": "seconds between validations",
    "checkpoint_every": "seconds between checkpoints",
}


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
    rule = chosen_rule(args)
    texts = chosen_texts(args)
    entries = list(Splitter(rule).split(texts["train"]))
    vocabulary = build_vocabulary(rule, entries, args.vocab_size)
    tokenizer = Tokenizer(rule, vocabulary)
    architecture = Architecture(args.cell, len(vocabulary), args.embedding_size, tuple(args.hidden_sizes), args.tie_weights)
    options = Options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Options)})
    schedule = Schedule(args.learning_rate, args.warmup_steps, args.steps, args.time_limit, args.sampled_until)
    sources = {"train": str(args.train), "valid": str(args.valid or ""), "split": args.split, "tokenizer": str(args.tokenizer or "")}
    data = Data(stream(tokenizer, tokenizer.look_up(entries)), stream(tokenizer, tokenizer.encode(texts["valid"])), sources)
    torch.manual_seed(args.seed)
    trainer = Trainer(RnnLm(architecture, options.dropouts()), tokenizer, data, schedule, options)
    args.out.mkdir(parents=True)
    if args.valid is None:
        (args.out / "test.txt").write_text(texts["test"], encoding="utf-8", newline="")
    print(f"{len(data.train):,} tokens, vocabulary {len(vocabulary):,}, {sum(p.numel() for p in trainer.model.parameters()):,} parameters")
    return trainer, args.out


def resumed(args: argparse.Namespace) -> tuple[Trainer, pathlib.Path]:
    """A run from its last checkpoint."""
    values = checkpoint.load(args.resume / "last.pt")
    model, tokenizer = checkpoint.restore_model(values)
    options = Options(**values["options"])
    model.dropouts = options.dropouts()
    given = {name: value for name, value in (("steps", args.steps), ("time_limit", args.time_limit)) if value is not None}
    schedule = Schedule(**{**values["schedule"], **given})
    sources = {name: values["data"][name] for name in ("train", "valid", "split", "tokenizer")}
    paths = argparse.Namespace(**{name: pathlib.Path(sources[name]) if sources[name] else None for name in ("train", "valid")}, split=sources["split"])
    texts = chosen_texts(paths)
    data = Data(stream(tokenizer, tokenizer.encode(texts["train"])), stream(tokenizer, tokenizer.encode(texts["valid"])), sources)
    if data.description() != values["data"]:
        raise InputError(f"`{sources['train']}` is not the text that `{args.resume}` was trained on: {len(data.train)} tokens, expected {values['data']['train_tokens']} with the digest kept")
    trainer = Trainer(model, tokenizer, data, schedule, options)
    trainer.restore(values)
    return trainer, args.resume


def chosen_rule(args: argparse.Namespace) -> Rule:
    if args.tokenizer:
        try:
            return Rule.from_json(json.loads(args.tokenizer.read_text(encoding="utf-8")), str(args.tokenizer))
        except (OSError, ValueError) as error:
            raise InputError(f"`{args.tokenizer}` cannot be read as JSON: {error}") from error
    if args.vocabulary not in RULES:
        raise InputError(f"vocabulary `{args.vocabulary}` is not supported, expected one of {', '.join(RULES)}")
    return RULES[args.vocabulary]


def chosen_texts(args: argparse.Namespace) -> dict[str, str]:
    """`train` and `valid`, and `test` where one file was split."""
    text = read_text(args.train)
    if args.valid is not None:
        return {"train": text, "valid": read_text(args.valid)}
    try:
        percent = tuple(map(int, args.split.split("/")))
        return dataclasses.asdict(split_text(text, percent))
    except ValueError as error:
        raise InputError(f"split `{args.split}` is not three numbers such as 90/5/5") from error


if __name__ == "__main__":
    errors.run(main)
