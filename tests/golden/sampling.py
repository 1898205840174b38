"""The reference for the sampling filters: what each of them, and all together, make of random logits, computed with NumPy in double
precision from the definitions in the papers.

    python tests/golden/sampling.py

writes `sampling.json` beside this file. `src/sampling/golden.rs` compares the program with it.
"""

import json
from pathlib import Path

import numpy as np

VOCABULARY = 40
NEUTRAL = {
    "logit_bias": {},
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "banned": [],
    "temperature": 1.0,
    "top_k": None,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
}
ALONE = [
    {},
    {"logit_bias": {"3": 2.5, "17": -1.25, "39": 100.0}},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"presence_penalty": 0.8},
    {"frequency_penalty": 0.6},
    {"frequency_penalty": -0.4, "presence_penalty": -0.2},
    {"banned": [0, 5, 11]},
    {"temperature": 0.6},
    {"temperature": 2.5},
    {"top_k": 1},
    {"top_k": 7},
    {"top_p": 0.3},
    {"top_p": 0.9},
    {"min_p": 0.05},
    {"min_p": 0.4},
    {"typical_p": 0.2},
    {"typical_p": 0.5},
    {"typical_p": 0.95},
]
TOGETHER = [
    {"logit_bias": {"1": 1.5}, "repetition_penalty": 1.2, "presence_penalty": 0.3, "frequency_penalty": 0.2},
    {"temperature": 0.8, "top_k": 20, "top_p": 0.85, "min_p": 0.02, "typical_p": 0.9},
    {"temperature": 1.5, "top_p": 0.9, "typical_p": 0.6},
    {"banned": [2, 3], "top_k": 15, "typical_p": 0.4},
    {
        "logit_bias": {"0": 0.75, "8": -3.0},
        "repetition_penalty": 1.15,
        "presence_penalty": 0.4,
        "frequency_penalty": 0.1,
        "banned": [6],
        "temperature": 0.9,
        "top_k": 25,
        "top_p": 0.95,
        "min_p": 0.01,
        "typical_p": 0.8,
    },
]


def probabilities(logits):
    """Softmax over the tokens that are left."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def shortest(order, probs, share):
    """The first tokens of `order`, as few as have this share of the probability."""
    return order[: np.searchsorted(np.cumsum(probs[order]), share) + 1]


def only(logits, kept):
    """The logits of these tokens; all others are removed."""
    left = np.full_like(logits, -np.inf)
    left[kept] = logits[kept]
    return left


def filtered(logits, seen, spec):
    """The probabilities that tokens are drawn with."""
    logits = np.array(logits, dtype=np.float64)
    for token, bias in spec["logit_bias"].items():
        logits[int(token)] += bias
    counts = np.bincount(seen, minlength=len(logits))
    occurred = counts > 0
    penalty = spec["repetition_penalty"]
    logits = np.where(occurred, np.where(logits > 0, logits / penalty, logits * penalty), logits)
    logits -= spec["presence_penalty"] * occurred + spec["frequency_penalty"] * counts
    logits[spec["banned"]] = -np.inf
    logits /= spec["temperature"]

    if spec["top_k"] is not None:
        logits = only(logits, np.argsort(-logits, kind="stable")[: spec["top_k"]])
    if spec["top_p"] < 1:
        order = np.argsort(-logits, kind="stable")
        logits = only(logits, shortest(order, probabilities(logits), spec["top_p"]))
    probs = probabilities(logits)
    logits = only(logits, probs >= spec["min_p"] * probs.max())
    if spec["typical_p"] < 1:
        probs = probabilities(logits)
        left = np.flatnonzero(probs)
        surprise = -np.log(probs[left])
        entropy = (probs[left] * surprise).sum()
        order = left[np.argsort(np.abs(surprise - entropy), kind="stable")]
        logits = only(logits, shortest(order, probs, spec["typical_p"]))
    return probabilities(logits)


def case(random, change):
    """Random logits, the tokens that occurred, and the probabilities after the filters."""
    logits = np.round(random.normal(0, random.choice([0.5, 2.0, 4.0]), VOCABULARY), 3)
    seen = random.integers(0, VOCABULARY, 12).tolist()
    spec = NEUTRAL | change
    probs = [float(f"{prob:.8g}") for prob in filtered(logits, seen, spec)]
    return {"logits": logits.tolist(), "seen": seen, "filters": spec, "probs": probs}


def main():
    """Writes the cases."""
    random = np.random.default_rng(11)
    cases = [case(random, change) for change in ALONE + TOGETHER for _ in range(3)]
    lines = ",\n".join(json.dumps(each) for each in cases)
    Path(__file__).with_name("sampling.json").write_text(f"[\n{lines}\n]\n")


main()
