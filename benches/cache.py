#!/usr/bin/env python3
"""Tunes the cache of a model on one text and measures it on another. Prints Markdown tables.

    cargo build --release
    python3 benches/cache.py VALID tests/data/classics-test.txt [--model models/classics] [--bytes N]

Theta and lambda are those of the lowest perplexity of VALID on a grid; TEXT is scored once, with them, and once without a cache.
Then a name comes back after about fifty words, and its probability with and without the cache is printed. Only the standard library is needed.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
THETAS = [0.1, 0.3, 0.6, 1.0]
LAMBDAS = [0.05, 0.1, 0.15, 0.2]

PASSAGE = (
    "Mr. Churchill rose and shook hands with his visitor. The fire had burned low, and for some time neither of them spoke. At last the old lady "
    "began to tell them of her youth, of the house by the sea, and of the long winters in which nobody came to see them. When she had done, it was "
    "quite dark, and the servant brought a light. Nobody had moved but Mr."
)
NAME = "Churchill"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("valid", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/classics", help="a model folder (default: %(default)s)")
    parser.add_argument("--window", type=int, default=500, help="tokens that are remembered (default: %(default)s)")
    parser.add_argument("--bytes", type=int, help="read only about so many bytes of each text")
    parser.add_argument("--server", default=ROOT / "target/release/rnnlm-server", help="the binary (default: %(default)s)")
    options = parser.parse_args()
    valid, text = (beginning(path, options.bytes) for path in (options.valid, options.text))

    found = {}
    for theta in THETAS:
        for share in LAMBDAS:
            cache = f"window={options.window},theta={theta},lambda={share}"
            found[cache] = score(options, valid, cache)["perplexity"]
            print(f"{cache}: {found[cache]:.3f}", file=sys.stderr)
    best = min(found, key=found.get)

    print(f"| Cache | {options.valid.name} | {options.text.name} |")
    print("|---|---:|---:|")
    for name, cache in [("none", None), (f"`{best}`", best)]:
        perplexities = [score(options, part, cache)["perplexity"] for part in (valid, text)]
        print(f"| {name} | {perplexities[0]:.2f} | {perplexities[1]:.2f} |", flush=True)

    print(f"\n| Cache | P({NAME}) |")
    print("|---|---:|")
    for name, cache in [("none", None), (f"`{best}`", best)]:
        print(f"| {name} | {probability(options, cache):.6f} |")


def beginning(path: pathlib.Path, count: int | None) -> bytes:
    """Whole lines of about `count` bytes, or all."""
    text = path.read_bytes()
    return text if count is None else text[: text.find(b"\n", count) + 1] or text


def score(options: argparse.Namespace, text: bytes, cache: str | None) -> dict:
    """The `total` of the command `score`."""
    command = [options.server, "score", "--json", "--model", options.model, "-", *option(cache)]
    return json.loads(subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout)["total"]


def probability(options: argparse.Namespace, cache: str | None) -> float:
    """That of the name after the passage."""
    command = [options.server, "score", "--json", "--token-logprobs", "--model", options.model, "-", *option(cache)]
    answer = json.loads(subprocess.run(command, input=f"{PASSAGE} {NAME}".encode(), stdout=subprocess.PIPE, check=True).stdout)
    return math.exp(answer["results"][0]["token_logprobs"][-1]["logprob"])


def option(cache: str | None) -> list[str]:
    return [] if cache is None else [f"--cache={cache}"]


if __name__ == "__main__":
    main()
