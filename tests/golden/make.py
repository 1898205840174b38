"""Writes the golden vectors: small random networks, 50 tokens, and the numbers of PyTorch in double precision.

    python tests/golden/make.py          # needs torch and safetensors

The weights are float32, so that both sides start from the same numbers. PyTorch's own modules compute the
cells that they support; the RNN with a sigmoid and the GRU with linear_before_reset = 0 are written out below.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

TOKENS = 50
VOCAB = 31

# name, embedding size, hidden sizes, tied, bias
NETWORKS = [
    ("1-bias", 12, [20], False, True),
    ("2-tied-bias", 18, [18, 18], True, True),
    ("2-nobias", 9, [17, 17], False, False),
    ("3-tied-nobias-sizes", 16, [24, 9, 16], True, False),
]

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "rnn_sigmoid": 1, "gru": 3, "lstm": 4}

CELLS = [("rnn_tanh", True), ("rnn_relu", True), ("rnn_sigmoid", True), ("gru", True), ("gru", False), ("lstm", True)]


# Networks with more than layers. name, cell, embedding size, hidden sizes, and what they have: an LSTM's projection, states to start from,
# the normalisation before each layer and last before the output layer
EXTRAS = [
    ("projected", "lstm", 12, [20, 15], {"proj_size": 7}),
    ("start", "gru", 12, [20, 15], {"start": True}),
    ("norms", "rnn_tanh", 12, [20, 15], {"norms": ["batch", "layer", "batch"]}),
    ("projected-start-norms", "lstm", 12, [20, 300], {"proj_size": 19, "start": True, "norms": ["layer", "batch", "layer"]}),
]


def main():
    folder = Path(__file__).parent
    for seed, (cell, reset_after) in enumerate(CELLS):
        for name, *shape in NETWORKS:
            torch.manual_seed(seed)
            form = "" if reset_after else "_reset_before"
            tensors = network(cell, reset_after, *shape)
            # Only one key: the library writes several in arbitrary order, and the files should be reproducible.
            save_file(tensors, folder / f"{cell}{form}-{name}.safetensors", {"cell": cell + form})
    for seed, (name, cell, embedding, hidden_sizes, extras) in enumerate(EXTRAS):
        torch.manual_seed(100 + seed)
        save_file(extended(cell, embedding, hidden_sizes, **extras), folder / f"extras-{name}.safetensors", {"cell": cell})


def extended(cell, embedding, hidden_sizes, proj_size=0, start=False, norms=()):
    """As `network`, through PyTorch's own modules alone."""
    tensors = {"encoder.weight": uniform(1.0, VOCAB, embedding)}
    tokens = torch.randint(VOCAB, (TOKENS,))
    x = tensors["encoder.weight"].double()[tokens]
    state = []
    for k, hidden in enumerate(hidden_sizes):
        x = normalised(tensors, norms, k, x)
        module = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
        module = module(x.shape[1], hidden, **({"proj_size": proj_size} if proj_size else {}))
        tensors |= {f"rnn.{name[:-3]}_l{k}": tensor.detach() for name, tensor in module.state_dict().items()}
        first = [uniform(1.0, 1, width) for width in ([proj_size or hidden, hidden] if cell == "lstm" else [hidden])]
        if start:
            tensors |= {f"rnn.{name}_l{k}": vector[0] for name, vector in zip(["h0", "c0"], first, strict=False)}
        else:
            first = [torch.zeros_like(vector) for vector in first]
        first = [vector.double() for vector in first]
        with torch.no_grad():
            x, last = module.double()(x, tuple(first) if cell == "lstm" else first[0])
        state += [vector.flatten() for vector in (last if cell == "lstm" else [last])]
    x = normalised(tensors, norms, len(hidden_sizes), x)
    tensors["decoder.weight"] = uniform(0.3, VOCAB, x.shape[1])
    logits = x @ tensors["decoder.weight"].double().T
    return tensors | {"tokens": tokens.to(torch.uint32), "logits": logits, "state": torch.cat(state)}


def normalised(tensors, norms, k, x):
    """`x` after the normalisation before layer `k`, whose tensors are added."""
    if k >= len(norms):
        return x
    width = x.shape[1]
    module = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}[norms[k]](width).eval()
    own = {"weight": uniform(1.0, width), "bias": uniform(1.0, width)}
    if norms[k] == "batch":
        own |= {"running_mean": uniform(0.5, width), "running_var": uniform(0.4, width) + 0.5}
    module.load_state_dict(module.state_dict() | own)
    tensors |= {f"norm.{k}.{name}": tensor for name, tensor in own.items()}
    with torch.no_grad():
        return module.double()(x)


def network(cell, reset_after, embedding, hidden_sizes, tied, bias):
    """The tensors of one fixture: weights with PyTorch's names, `tokens`, `logits` [tokens, vocab], `state`."""
    tensors = {"encoder.weight": uniform(1.0, VOCAB, embedding)}
    tokens = torch.randint(VOCAB, (TOKENS,))
    x = tensors["encoder.weight"].double()[tokens]
    state = []
    for k, hidden in enumerate(hidden_sizes):
        width = GATES[cell] * hidden
        bound = hidden**-0.5
        layer = {"weight_ih": uniform(bound, width, x.shape[1]), "weight_hh": uniform(bound, width, hidden)}
        if bias:
            layer |= {"bias_ih": uniform(bound, width), "bias_hh": uniform(bound, width)}
        tensors |= {f"rnn.{name}_l{k}": tensor for name, tensor in layer.items()}
        x, last = run_layer(cell, reset_after, {name: tensor.double() for name, tensor in layer.items()}, x)
        state += last
    bound = hidden_sizes[-1] ** -0.5
    if not tied:
        tensors["decoder.weight"] = uniform(bound, VOCAB, hidden_sizes[-1])
    if bias:
        tensors["decoder.bias"] = uniform(bound, VOCAB)
    logits = x @ tensors["encoder.weight" if tied else "decoder.weight"].double().T
    if bias:
        logits += tensors["decoder.bias"].double()
    return tensors | {"tokens": tokens.to(torch.uint32), "logits": logits, "state": torch.cat(state)}


def run_layer(cell, reset_after, weights, x):
    """Returns h at every step [tokens, hidden], and the state of the layer after the last one."""
    if cell == "rnn_sigmoid":
        return run_sigmoid(weights, x)
    if cell == "gru" and not reset_after:
        return run_gru_reset_before(weights, x)
    hidden = weights["weight_hh"].shape[1]
    arguments = {"bias": "bias_ih" in weights, "dtype": torch.float64}
    module = {
        "rnn_tanh": lambda: nn.RNN(x.shape[1], hidden, nonlinearity="tanh", **arguments),
        "rnn_relu": lambda: nn.RNN(x.shape[1], hidden, nonlinearity="relu", **arguments),
        "gru": lambda: nn.GRU(x.shape[1], hidden, **arguments),
        "lstm": lambda: nn.LSTM(x.shape[1], hidden, **arguments),
    }[cell]()
    module.load_state_dict({f"{name}_l0": tensor for name, tensor in weights.items()})
    with torch.no_grad():
        h, last = module(x)
    return h, [vector.flatten() for vector in (last if cell == "lstm" else [last])]


def run_sigmoid(weights, x):
    h = torch.zeros(weights["weight_hh"].shape[1], dtype=torch.float64)
    steps = []
    for gates in x @ weights["weight_ih"].T + bias(weights, "bias_ih"):
        h = torch.sigmoid(gates + weights["weight_hh"] @ h + bias(weights, "bias_hh"))
        steps.append(h)
    return torch.stack(steps), [h]


def run_gru_reset_before(weights, x):
    hidden = weights["weight_hh"].shape[1]
    w_r, w_z, w_n = weights["weight_hh"].split(hidden)
    h = torch.zeros(hidden, dtype=torch.float64)
    steps = []
    for gates in x @ weights["weight_ih"].T + bias(weights, "bias_ih") + bias(weights, "bias_hh"):
        r, z, n = gates.split(hidden)
        r = torch.sigmoid(r + w_r @ h)
        z = torch.sigmoid(z + w_z @ h)
        n = torch.tanh(n + w_n @ (r * h))
        h = (1 - z) * n + z * h
        steps.append(h)
    return torch.stack(steps), [h]


def bias(weights, name):
    return weights.get(name, torch.zeros(1, dtype=torch.float64))


def uniform(bound, *shape):
    return (torch.rand(shape) * 2 - 1) * bound


if __name__ == "__main__":
    main()
