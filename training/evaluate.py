"""Measures a model folder on a text: `evaluate.py models/mine test.txt [--contexts 1,2,5,10]`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib

import torch
from tqdm import tqdm

from rnnlm import bounds, coverage, errors, reading
from rnnlm.corpus import read_text, stream
from rnnlm.errors import InputError
from rnnlm.scoring import perplexity_by_context, score_text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="model folder")
    parser.add_argument("text", type=pathlib.Path, help="UTF-8 text, plain or .xz")
    parser.add_argument("--contexts", default="", help="also measure tokens that are predicted from this many tokens before them and no more; comma-separated")
    parser.add_argument("--every", type=bounds.whole(1, 10**9), default=1, help="measure limited contexts at every n-th token (%(default)s)")
    parser.add_argument("--threads", type=bounds.THREADS, default=1, help="CPU threads (%(default)s)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    contexts = parse_contexts(args.contexts)
    model, tokenizer = reading.read(args.folder)
    text = read_text(args.text)
    ids = stream(tokenizer, tokenizer.encode(text))
    by_context = {n: perplexity_by_context(model, ids, n, args.every) for n in tqdm(contexts, unit="context", disable=not contexts)}
    score = score_text(model, tokenizer, text, progress=lambda windows: tqdm(windows, unit="window"))
    result = dataclasses.asdict(score) | {
        "unknown_share": score.unknown_share,
        "perplexity": score.perplexity,
        "known_perplexity": score.known_perplexity,
        "bits_per_token": score.bits_per_token,
        "bits_per_char": score.bits_per_char,
        "perplexity_by_context": by_context,
    }
    print(json.dumps(result, indent=2))
    coverage.warn_if_flattering(str(args.text), score.unknown_share)


def parse_contexts(argument: str) -> list[int]:
    try:
        contexts = [int(part) for part in argument.split(",") if part]
    except ValueError as error:
        raise InputError(f"contexts `{argument}` are not numbers such as 1,2,5") from error
    if any(context < 1 for context in contexts):
        raise InputError(f"contexts `{argument}` contain a number below 1")
    return contexts


if __name__ == "__main__":
    errors.run(main)
