"""Makes a model folder that the server loads out of a checkpoint: `export.py checkpoints/mine/best.pt models/mine --test test.txt`."""

from __future__ import annotations

import argparse
import pathlib

import torch
from tqdm import tqdm

from rnnlm import checkpoint, errors, folder
from rnnlm.card import Card
from rnnlm.corpus import read_text
from rnnlm.scoring import score_text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path, help="new model folder")
    parser.add_argument("--test", type=pathlib.Path, required=True, help="text that the card's figures are measured on")
    parser.add_argument("--dtype", choices=folder.DTYPES, default="f32", help="type that weights are stored in")
    parser.add_argument("--data", default="Not stated.", help="a sentence on the text for the card")
    parser.add_argument("--licence", default="Not stated.", help="a sentence on the licence for the card")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    folder.refuse_existing(args.folder)
    values = checkpoint.load(args.checkpoint)
    model, tokenizer = checkpoint.restore_model(values)
    model = folder.round_weights(model, folder.DTYPES[args.dtype])
    score = score_text(model, tokenizer, read_text(args.test), progress=lambda windows: tqdm(windows, unit="window"))
    card = Card(
        name=args.folder.name,
        dtype=args.dtype,
        data=args.data,
        licence=args.licence,
        test=args.test.name,
        score=score,
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
    )
    folder.write(args.folder, model.float(), tokenizer, folder.DTYPES[args.dtype], card.text(values))
    print(f"{args.folder}: perplexity {score.perplexity:.4f}, {score.bits_per_char:.4f} bits per character on {args.test.name}")


if __name__ == "__main__":
    errors.run(main)
