#!/usr/bin/env python3
"""Prints the perplexity of every model that ships, for each type of weights, as a Markdown table.

    cargo build --release
    python3 benches/perplexity.py [--lines N] [MODEL ...]

Each text is the one in tests/data that the model's reference in tests/data/perplexity.json names. A change is relative to
`as-stored`. Models that are not run by the native engine have one type of weights only.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TYPES = ["as-stored", "f32", "bf16", "int8"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="folders in models/ (default: all that have a reference)")
    parser.add_argument("--lines", type=int, help="score only the first N lines of each text")
    parser.add_argument("--server", default=ROOT / "target/release/rnnlm-server", help="the binary (default: %(default)s)")
    options = parser.parse_args()

    references = json.loads((ROOT / "tests/data/perplexity.json").read_text())
    texts = {reference["model"]: ROOT / "tests/data" / reference["text"] for reference in references}
    unknown = set(options.models) - set(texts)
    if unknown:
        parser.error(f"no reference for {', '.join(sorted(unknown))}; expected some of {', '.join(texts)}")

    print(f"| Model | Tokens | {' | '.join(TYPES)} |")
    print(f"|---|---:|{'---:|' * len(TYPES)}")
    for model in options.models or texts:
        with open(texts[model], "rb") as lines:
            text = b"".join(itertools.islice(lines, options.lines))
        print(row(options.server, model, text), flush=True)


def row(server: str, model: str, text: bytes) -> str:
    """The line of the table for one model."""
    cells = []
    stored = None
    for weights in TYPES:
        print(f"{model}: {weights}", file=sys.stderr)
        total = score(server, model, weights, text)
        perplexity = total["perplexity"]
        stored = stored or perplexity
        change = "" if weights == "as-stored" else f" ({100 * (perplexity / stored - 1):+.3f} %)"
        cells.append(f"{perplexity:.5f}{change}")
    return f"| `{model}` | {total['scored_count']} | {' | '.join(cells)} |"


def score(server: str, model: str, weights: str, text: bytes) -> dict:
    """The `total` of the command `score`."""
    command = [server, "score", "--json", "--model", ROOT / "models" / model, "-"]
    environment = {**os.environ, "RNNLM_WEIGHTS": weights}
    answer = subprocess.run(command, input=text, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)["total"]


if __name__ == "__main__":
    main()
