"""Writes mixture.json: log-probabilities of a mixture of two networks, by numpy in double precision.

    python tests/golden/mixture.py          # needs numpy and safetensors

The networks are an LSTM and a GRU of make.py. Each is computed here from its weights, step by step, and must reproduce PyTorch's logits over
the tokens of its own file; then both read the same tokens, and their probabilities are interpolated.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

PARTS = [("lstm-1-bias", 0.7), ("gru-1-bias", 0.3)]
TOKENS = [3, 17, 0, 30, 8, 8, 21, 5]


def main():
    folder = Path(__file__).parent
    each = []
    for name, _ in PARTS:
        tensors = read(folder / f"{name}.safetensors")
        logits = run(tensors, tensors["tokens"])
        assert np.abs(logits - tensors["logits"]).max() < 1e-9, name
        each.append(log_softmax(run(tensors, TOKENS)))
    mixed = np.log(sum(weight * np.exp(logprobs) for (_, weight), logprobs in zip(PARTS, each, strict=True)))
    assert np.abs(np.exp(mixed).sum(1) - 1).max() < 1e-12
    result = {
        "parts": [{"file": name, "weight": weight} for name, weight in PARTS],
        "tokens": TOKENS,
        # After each token, of each token of the vocabulary.
        "logprobs": [[float(f"{value:.10g}") for value in row] for row in mixed],
    }
    (folder / "mixture.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


def read(path):
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name).astype(np.int64 if name == "tokens" else np.float64) for name in file.keys()}


def run(tensors, tokens):
    """The logits after each token, of a network of one layer with biases."""
    w_ih, w_hh, b_ih, b_hh = (tensors[f"rnn.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    size = w_hh.shape[1]
    h, c = np.zeros(size), np.zeros(size)
    logits = []
    for token in tokens:
        by_x = w_ih @ tensors["encoder.weight"][token] + b_ih
        by_h = w_hh @ h + b_hh
        if len(w_hh) == 4 * size:
            i, f, g, o = np.split(by_x + by_h, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            r, z = np.split(sigmoid(by_x[: 2 * size] + by_h[: 2 * size]), 2)
            n = np.tanh(by_x[2 * size :] + r * by_h[2 * size :])
            h = (1 - z) * n + z * h
        logits.append(tensors["decoder.weight"] @ h + tensors["decoder.bias"])
    return np.array(logits)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


if __name__ == "__main__":
    main()
