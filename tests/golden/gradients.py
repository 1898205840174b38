"""Writes gradients.json: derivatives of a log-probability by PyTorch's autograd, in double precision.

    python tests/golden/gradients.py          # needs torch and safetensors

The networks are those of make.py, whose logits each forward pass here must reproduce, with projections, learned starts and
normalisations too, the same with hard sigmoids for gates, and some with int8 weights. int8 rounds weights and activations as the server does; rounding an activation counts as the identity.
"""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn import functional

TOKENS = 12

GATES = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "hard_sigmoid_sixth": lambda x: (x / 6 + 0.5).clamp(0, 1),
}

INT8 = ["rnn_tanh-1-bias", "lstm-2-nobias", "gru-2-nobias", "gru_reset_before-1-bias", "extras-projected"]


def main():
    folder = Path(__file__).parent
    cases = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            cell = file.metadata()["cell"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        gated = cell.startswith(("gru", "lstm")) and not path.stem.startswith("extras")
        for gate in GATES if gated else ["sigmoid"]:
            cases.append({"file": path.stem, "weights": "f32", "gate": gate} | Network(cell, gate, tensors).gradient())
        if path.stem in INT8:
            network = Network(cell, "sigmoid", tensors, int8=True)
            cases.append({"file": path.stem, "weights": "int8", "gate": "sigmoid"} | network.gradient())
    feed_forward = [feed_forward_case(mean) for mean in (False, True)]
    result = {"recurrent": cases, "feed_forward": feed_forward}
    (folder / "gradients.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")


class Network:
    def __init__(self, cell, gate, tensors, int8=False):
        self.cell, self.gate, self.int8 = cell, GATES[gate], int8
        self.is_reference = gate == "sigmoid" and not int8
        self.expected = tensors["logits"]
        self.tokens = tensors["tokens"].long()[:TOKENS]
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(("encoder", "rnn", "decoder", "norm"))}
        self.embedding = tensors["encoder.weight"].double()
        stored = {name: tensor.double() for name, tensor in tensors.items()}
        self.weights = {name: rounded(tensor) if int8 and tensor.dim() == 2 else tensor for name, tensor in stored.items()}
        self.depth = sum(name.startswith("rnn.weight_hh") for name in tensors)

    def gradient(self):
        x = self.embedding[self.tokens].clone().requires_grad_()
        vectors, memory = x, []
        for layer in range(self.depth):
            steps = self.layer(layer, [self.normalised(layer, vector) for vector in vectors])
            memory.append(steps)
            vectors = [h for h, _ in steps]
        decoder = self.weights.get("decoder.weight", self.weights["encoder.weight"])
        logits = self.linear(self.normalised(self.depth, vectors[-1]), decoder, self.weights.get("decoder.bias"))
        if self.is_reference:
            assert (logits - self.expected[TOKENS - 1]).abs().max() < 1e-9
        target = int(logits.argmax())
        for steps in memory:
            for h, c in steps:
                h.retain_grad()
                c is None or c.retain_grad()
        functional.log_softmax(logits, 0)[target].backward()
        result = {
            "target": target,
            "saliency": numbers((x.grad * x.detach()).sum(1)),
            "input": numbers(x.grad.norm(dim=1)),
            "h": [numbers([h.grad.norm() for h, _ in steps]) for steps in memory],
        }
        if self.cell == "lstm":
            result["c"] = [numbers([c.grad.norm() for _, c in steps]) for steps in memory]
        return result

    def layer(self, layer, vectors):
        """h and c, if there is one, after each step."""
        w_ih, w_hh = (self.weights[f"rnn.weight_{kind}_l{layer}"] for kind in ("ih", "hh"))
        b_ih, b_hh = (self.weights.get(f"rnn.bias_{kind}_l{layer}", torch.zeros(len(w_ih)).double()) for kind in ("ih", "hh"))
        w_hr = self.weights.get(f"rnn.weight_hr_l{layer}")
        size = w_hh.shape[1] if w_hr is None else w_hr.shape[1]
        h = self.weights.get(f"rnn.h0_l{layer}", torch.zeros(w_hh.shape[1]).double())
        c = self.weights.get(f"rnn.c0_l{layer}", torch.zeros(size).double())
        steps = []
        for x in vectors:
            by_x = self.linear(x, w_ih, b_ih)
            if self.cell.startswith("rnn_"):
                activation = {"rnn_tanh": torch.tanh, "rnn_relu": torch.relu, "rnn_sigmoid": torch.sigmoid}[self.cell]
                h = activation(by_x + self.linear(h, w_hh, b_hh))
            elif self.cell == "lstm":
                i, f, g, o = (by_x + self.linear(h, w_hh, b_hh)).split(size)
                c = self.gate(f) * c + self.gate(i) * torch.tanh(g)
                h = self.gate(o) * torch.tanh(c)
                h = h if w_hr is None else self.linear(h, w_hr, None)
            else:
                x_r, x_z, x_n = by_x.split(size)
                r, z = (self.gate(sums) for sums in (self.linear(h, w_hh[: 2 * size], b_hh[: 2 * size]) + torch.cat([x_r, x_z])).split(size))
                if self.cell == "gru":
                    n = torch.tanh(x_n + r * self.linear(h, w_hh[2 * size :], b_hh[2 * size :]))
                else:
                    n = torch.tanh(x_n + self.linear(r * h, w_hh[2 * size :], b_hh[2 * size :]))
                h = (1 - z) * n + z * h
            steps.append((h, c if self.cell == "lstm" else None))
        return steps

    def normalised(self, layer, x):
        """`x` after the normalisation before `layer`, if there is one: of a batch, if there are statistics."""
        scale, shift, mean, variance = (
            self.weights.get(f"norm.{layer}.{name}") for name in ("weight", "bias", "running_mean", "running_var")
        )
        if scale is None:
            return x
        if mean is None:
            return functional.layer_norm(x, x.shape, scale, shift)
        return functional.batch_norm(x[None], mean, variance, scale, shift)[0]

    def linear(self, x, w, b):
        if self.int8:
            x = x + (rounded(x[None].detach())[0] - x).detach()
        return functional.linear(x, w, b)


def rounded(matrix):
    """What a matrix in int8 stands for: each row in units of a 127th of its largest magnitude."""
    single = matrix.float()
    largest = single.abs().amax(1, keepdim=True)
    safe = torch.where(largest == 0, torch.ones_like(largest), largest)
    return (torch.round(single * (127 / safe)) * (largest / 127)).double()


def feed_forward_case(mean):
    """A network of two hidden layers on a window of 4 embeddings, and 6 tokens of which the last 4 are in it."""
    torch.manual_seed(7)
    vocab, width, window, sizes = 13, 5, 4, [9, 6]
    uniform = lambda *shape: (torch.rand(shape) * 2 - 1).float()
    embedding = uniform(vocab, width)
    depth = width if mean else window * width
    first, second = uniform(sizes[0], depth), uniform(sizes[1], sizes[0])
    output, bias = uniform(vocab, sizes[1]), uniform(sizes[0])
    tokens = torch.tensor([3, 11, 7, 0, 7, 5])
    x = embedding.double()[tokens[-window:]].requires_grad_()
    vector = x.mean(0) if mean else x.flatten()
    vector = torch.tanh(functional.linear(vector, first.double(), bias.double()))
    vector = torch.relu(functional.linear(vector, second.double()))
    logits = functional.linear(vector, output.double())
    target = int(logits.argmin())
    functional.log_softmax(logits, 0)[target].backward()
    flat = lambda tensor: [float(value) for value in tensor.flatten()]
    return {
        "mean": mean, "vocab": vocab, "width": width, "window": window, "sizes": sizes, "tokens": tokens.tolist(), "target": target,
        "embedding": flat(embedding), "first": flat(first), "first_bias": flat(bias), "second": flat(second), "output": flat(output),
        "saliency": [0.0, 0.0] + numbers((x.grad * x.detach()).sum(1)), "input": [0.0, 0.0] + numbers(x.grad.norm(dim=1)),
    }  # fmt: skip


def numbers(values):
    return [float(f"{float(value):.9g}") for value in values]


if __name__ == "__main__":
    main()
