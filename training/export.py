"""Makes a model folder that the server loads out of a checkpoint: `export.py checkpoints/mine/best.pt models/mine`."""

from __future__ import annotations

import argparse
import pathlib

import torch
from tqdm import tqdm

from rnnlm import checkpoint, errors, folder, storage
from rnnlm.card import Card
from rnnlm.corpus import read_text
from rnnlm.errors import InputError
from rnnlm.scoring import score_text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path, help="new model folder")
    parser.add_argument("--test", type=pathlib.Path, help="text that the card's figures are measured on (default: test.txt beside the checkpoint, which train.py kept back)")
    parser.add_argument("--format", choices=storage.FORMATS, help="of the weights: safetensors, or an ONNX graph for other run-times too (default: safetensors; onnx for a network that reads a window, which has no other)")
    parser.add_argument("--dtype", choices=storage.DTYPES, default="f32", help="type that weights are stored in; ONNX takes f32 or f16")
    parser.add_argument("--data", default="Not stated.", help="a sentence on the text for the card")
    parser.add_argument("--licence", default="Not stated.", help="a sentence on the licence for the card")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    folder.refuse_existing(args.folder)
    test = args.test or kept_back(args.checkpoint)
    values = checkpoint.load(args.checkpoint)
    model, tokenizer = checkpoint.restore_model(values)
    stored = storage.Storage.of(model, args.format, args.dtype)
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
    print(f"{args.folder}: perplexity {score.perplexity:.4f}, {score.bits_per_char:.4f} bits per character on {test.name}")


def kept_back(path: pathlib.Path) -> pathlib.Path:
    """The text beside a checkpoint that its run neither learned from nor was chosen by."""
    test = path.with_name("test.txt")
    if not test.is_file():
        raise InputError(f"found no `{test}`, which train.py leaves where it splits a text: name a text with --test")
    return test


if __name__ == "__main__":
    errors.run(main)
