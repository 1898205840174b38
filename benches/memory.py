#!/usr/bin/env python3
"""Asks a running server how long its models remember, and prints the tables of docs/memory.md and draws its figure.

    rnnlm-server serve &
    python3 benches/memory.py --figure docs/gradient-by-lag.svg

Only the standard library is needed.
"""

import argparse
import json
import math
import urllib.request
from pathlib import Path

MODELS = {
    "classics": "LSTM",
    "classics-gru": "GRU",
    "classics-rnn": "plain RNN",
    "classics-ffn": "feed-forward",
    "classics-cbow": "CBOW",
}
COLOURS = {"classics": "#1b6ca8", "classics-gru": "#2e8b57", "classics-rnn": "#c0392b"}

BEGINNING = "{} was sitting by the fire."
BETWEEN = [
    "The rain had been falling all day, and the wind was loud in the trees behind the old house near the river.",
    "Nobody had come since the morning, and there was nothing to be heard but the clock upon the wall and the voice of a woman who "
    "was singing to a child in the kitchen.",
    "It was cold, and the snow lay upon the ground, and the light of the moon fell through the window on the table, where a book and "
    "a letter had been left.",
]
END = "Mary came into the little room, looked round, and said to"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default="http://127.0.0.1:8080")
    arguments.add_argument("--figure", type=Path)
    args = arguments.parse_args()
    call = lambda path, body: post(args.url + path, body)

    stories = [[story(name, count) for name in ("Tom", "John")] for count in range(len(BETWEEN) + 1)]
    distances = [len(call("/v1/tokenize", {"text": tom})["tokens"]) - 1 for tom, _ in stories]
    for name, own, other in (("Tom", 0, 1), ("John", 1, 0)):
        print(f"| ln P({name}) | " + " | ".join(f"{distance} tokens" for distance in distances) + " |")
        print("|---" * (len(distances) + 1) + "|")
        for model, cell in MODELS.items():
            gains = [logprob(call, model, pair[own], name) - logprob(call, model, pair[other], name) for pair in stories]
            print(f"| `{model}` ({cell}) | " + " | ".join(f"{gain:+.2f}" for gain in gains) + " |")
        print()

    print("| Model | after `she looked out of the` | after `the of out looked she` |")
    print("|---|---|---|")
    for model, cell in MODELS.items():
        answers = [expected(call, model, text) for text in ("she looked out of the", "the of out looked she")]
        print(f"| `{model}` ({cell}) | {answers[0]} | {answers[1]} |")

    lags = {model: call("/v1/explain", {"model": model, "text": stories[-1][0], "target": "Tom"}) for model in COLOURS}
    print("\n| Model | by | " + " | ".join(f"lag {lag}" for lag in LAGS) + " |")
    print("|---" * (len(LAGS) + 2) + "|")
    for model, answer in lags.items():
        for vector, norms in answer["gradient_by_lag"].items():
            if vector != "input":
                shown = " | ".join(f"{norms[lag]:.2g}" for lag in LAGS)
                print(f"| `{model}` ({MODELS[model]}) | {vector} | {shown} |")
    if args.figure:
        curves = {model: answer["gradient_by_lag"] for model, answer in lags.items()}
        args.figure.write_text(figure(curves))


LAGS = [0, 1, 2, 5, 10, 20, 50, 100]


def story(name, count):
    return " ".join([BEGINNING.format(name), *BETWEEN[:count], END])


def logprob(call, model, text, name):
    answer = call("/v1/next", {"model": model, "text": text, "candidates": [name], "top_k": 0})
    return answer["candidates"][0]["logprob"]


def expected(call, model, text):
    answer = call("/v1/next", {"model": model, "text": text, "top_k": 3})
    return ", ".join(f"{token['token']} {token['prob']:.3f}" for token in answer["distribution"])


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def figure(curves):
    """The norms by lag as curves on a logarithmic scale."""
    width, height, left, right, top, decades = 760, 360, 56, 190, 16, 5
    count = max(len(norms["h"]) for norms in curves.values())
    x = lambda lag: left + (width - left - right) * lag / (count - 1)
    y = lambda norm: top + (height - top - 48) * min(-math.log10(norm), decades) / decades
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for decade in range(decades + 1):
        at = y(10.0**-decade)
        parts.append(f'<path d="M{left} {at:.1f}H{width - right}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">1e-{decade}</text>')
    for lag in range(0, count, 20):
        parts.append(f'<text x="{x(lag):.1f}" y="{height - 28}" text-anchor="middle">{lag}</text>')
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">lag, in tokens</text>')
    row = 0
    for model, norms in curves.items():
        for vector in ("h", "c"):
            points = [(lag, norm) for lag, norm in enumerate(norms.get(vector) or []) if norm]
            if not points:
                continue
            dash = ' stroke-dasharray="5 3"' if vector == "c" else ""
            style = f'fill="none" stroke="{COLOURS[model]}" stroke-width="1.6"{dash}'
            line = " ".join(f"{x(lag):.1f},{y(norm):.1f}" for lag, norm in points)
            parts.append(f'<polyline points="{line}" {style}/>')
            at = top + 14 + 18 * row
            parts.append(f'<path d="M{width - right + 16} {at - 4}h28" {style}/>')
            parts.append(f'<text x="{width - right + 52}" y="{at}">{MODELS[model]}, by {vector}</text>')
            row += 1
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    main()
