"""Exports a checkpoint as a model folder that the server loads: `export.py checkpoints/mine/best.pt models/mine`."""

from __future__ import annotations

import argparse
import pathlib

import torch
from tqdm import tqdm

from rnnlm import bounds, checkpoint, coverage, errors, folder, storage, weights_file
from rnnlm.card import Card
from rnnlm.corpus import read_text
from rnnlm.errors import InputError
from rnnlm.scoring import Score, score_text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=pathlib.Path, help="best.pt or last.pt of a run, or the run's folder")
    parser.add_argument("folder", type=pathlib.Path, help="new model folder")
    parser.add_argument("--test", type=pathlib.Path, help="text on which the card's figures are measured (default: test.txt beside the checkpoint, which train.py kept back)")
    parser.add_argument("--format", choices=weights_file.FORMATS, help="safetensors, or an ONNX graph that other runtimes read too (default: safetensors, but onnx for a network that reads a window)")
    parser.add_argument("--dtype", choices=weights_file.DTYPES, default="f32", help="type in which weights are stored; ONNX takes f32 or f16 (%(default)s)")
    parser.add_argument("--data", default="Not stated.", help="a sentence about the text, for the card")
    parser.add_argument("--licence", default="Not stated.", help="a sentence about the licence, for the card")
    parser.add_argument("--threads", type=bounds.THREADS, default=1, help="CPU threads (%(default)s)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    folder.refuse_existing(args.folder)
    path = checkpoint.of_run(args.checkpoint)
    test = args.test or kept_back(path)
    values = checkpoint.load(path)
    model, tokenizer = checkpoint.restore_model(values)
    stored = weights_file.Storage.of(model.architecture, args.format, args.dtype)
    model = storage.round_weights(model, stored)
    score = score_text(model, tokenizer, read_text(test), progress=lambda windows: tqdm(windows, unit="window"))
    card = Card(
        name=args.folder.name,
        dtype=args.dtype,
        data=args.data,
        licence=args.licence,
        test=test.name,
        score=score,
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
    )
    weights = storage.weights_file(model.float(), tokenizer, stored)
    folder.write(args.folder, folder.Parts(weights, tokenizer, card.text(values)))
    print(f"{args.folder}: {measured(score)} on {test.name}")
    coverage.warn_if_flattering(test.name, score.unknown_share)


def measured(score: Score) -> str:
    """The figures in a line; a perplexity never stands without its share of unknown tokens."""
    without = f", {score.known_perplexity:.4f} without them" if score.unknown_count and score.known_perplexity is not None else ""
    return f"perplexity {score.perplexity:.4f} with {score.unknown_share:.2%} of the tokens unknown{without}; {score.bits_per_char:.4f} bits per character"


def kept_back(path: pathlib.Path) -> pathlib.Path:
    """The text beside a checkpoint that its run neither learned from nor was chosen by."""
    test = path.with_name("test.txt")
    if not test.is_file():
        raise InputError(f"found no `{test}`, which train.py leaves where it splits a text: name a text with --test")
    return test


if __name__ == "__main__":
    errors.run(main)
