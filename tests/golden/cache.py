"""The reference for the continuous cache (Grave, Joulin & Usunier 2017): probabilities with caches of several options, computed with NumPy in
double precision over networks that `make.py` wrote.

    python tests/golden/cache.py

writes `cache.json` beside this file. `tests/it/rnn/cache.rs` compares the program with it.
"""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
NETWORKS = ["rnn_tanh-1-bias", "lstm-2-nobias"]
OPTIONS = [
    {"window": 500, "theta": 0.6, "lambda": 0.15},
    {"window": 7, "theta": 2.5, "lambda": 0.5},
    {"window": 33, "theta": 0.0, "lambda": 0.9},
]
DTYPES = {"F32": np.float32, "F64": np.float64, "U32": np.uint32}


def main():
    cases = [case(name, options) for name in NETWORKS for options in OPTIONS]
    lines = ",\n".join(json.dumps(case) for case in cases)
    (FOLDER / "cache.json").write_text(f"[\n{lines}\n]\n")


def case(name, options):
    tensors = read(FOLDER / f"{name}.safetensors")
    h = hidden(tensors, lstm=name.startswith("lstm"))
    logits = h @ tensors["decoder.weight"].astype(np.float64).T + tensors.get("decoder.bias", 0.0)
    # The file has the logits after each token, this script those before each token, too.
    assert np.abs(logits[1:] - tensors["logits"]).max() < 1e-9, name
    probs = mixed(logits[:-1], h, tensors["tokens"], options)
    return {"network": name, **options, "probs": [[float(f"{p:.9e}") for p in row] for row in probs]}


def mixed(logits, h, tokens, options):
    """The probabilities before each of `tokens`; `h[i]` is the state before `tokens[i]`."""
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    for t in range(1, len(tokens)):
        past = np.arange(max(0, t - options["window"]), t)
        weights = np.exp(options["theta"] * (h[past] @ h[t]))
        cache = np.zeros(probs.shape[1])
        np.add.at(cache, tokens[past], weights / weights.sum())
        probs[t] = (1 - options["lambda"]) * probs[t] + options["lambda"] * cache
    return probs


def hidden(tensors, lstm):
    """The top layer's h before the first token and after each token, `[tokens + 1, hidden]`."""
    x = tensors["encoder.weight"].astype(np.float64)[tensors["tokens"]]
    layer = 0
    while f"rnn.weight_hh_l{layer}" in tensors:
        w_ih, w_hh = (tensors[f"rnn.weight_{kind}_l{layer}"].astype(np.float64) for kind in ("ih", "hh"))
        bias = sum(tensors.get(f"rnn.bias_{kind}_l{layer}", np.zeros(1)).astype(np.float64) for kind in ("ih", "hh"))
        h = c = np.zeros(w_hh.shape[1])
        steps = [h]
        for value in x:
            gates = w_ih @ value + w_hh @ h + bias
            if lstm:
                i, f, g, o = np.split(gates, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                h = np.tanh(gates)
            steps.append(h)
        x = np.array(steps[1:])
        layer += 1
    return np.array(steps)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def read(path):
    """The tensors of a safetensors file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    tensors = {}
    for name, about in header.items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            tensors[name] = np.frombuffer(body[begin:end], DTYPES[about["dtype"]]).reshape(about["shape"])
    return tensors


if __name__ == "__main__":
    main()
