"""Graphs with the structure of those of well-known projects. None of their code is used, only the structure of their files."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from case import Case, Part, Ports
from network import Network
from pytorch import cleaned


def cases() -> Iterator[Case]:
    for cell in ("rnn_tanh", "rnn_relu", "gru", "lstm"):
        yield word_language_model(Network(cell, (6, 6), embedding_size=6, tied=cell == "lstm"))
    yield word_language_model(Network("lstm", (5,), embedding_size=6))
    yield icefall(Network("lstm", (6, 6, 6), embedding_size=6))
    yield icefall(Network("lstm", (6, 6), embedding_size=6, tied=True))
    yield espnet(Network("lstm", (5, 5), embedding_size=5))
    yield espnet(Network("gru", (5, 5), embedding_size=5))
    yield from flat_states()


def load(module: nn.Module, network: Network) -> None:
    """Loads the weights whatever names the module gives its parts: the order of definition is the same everywhere."""
    weights = network.weights()
    found = {name: torch.from_numpy(weights[key]) for name, key in zip(module.state_dict(), ordered(network))}
    module.load_state_dict(found, strict=True)
    if network.tied:
        modules = list(module.modules())
        embedding = next(part for part in modules if isinstance(part, nn.Embedding))
        next(part for part in modules if isinstance(part, nn.Linear)).weight = embedding.weight


def ordered(network: Network) -> list[str]:
    layers = [f"rnn.{kind}_l{k}" for k in range(network.layers) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    decoder = "encoder.weight" if network.tied else "decoder.weight"
    return ["encoder.weight", *layers, decoder, "decoder.bias"]


def recurrent(network: Network, **options) -> nn.Module:
    kind = {"gru": nn.GRU, "lstm": nn.LSTM}.get(network.cell, nn.RNN)
    if kind is nn.RNN:
        options["nonlinearity"] = network.cell.removeprefix("rnn_")
    return kind(network.embedding_size, network.hidden_sizes[0], network.layers, **options)


def export(module: nn.Module, inputs: tuple, **options) -> onnx.ModelProto:
    file = io.BytesIO()
    torch.onnx.export(module.eval(), inputs, file, dynamo=False, **options)
    return cleaned(onnx.load_model_from_string(file.getvalue()))


class WordLanguageModel(nn.Module):
    """PyTorch's example: the hidden state is one argument, and the output is log_softmax over `[T * B, V]`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.vocab_size = network.vocab_size
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(network.vocab_size, network.embedding_size)
        self.rnn = recurrent(network, dropout=0.2)
        self.decoder = nn.Linear(network.hidden_sizes[0], network.vocab_size)

    def forward(self, x: Tensor, hidden: Tensor | tuple[Tensor, Tensor]) -> tuple:
        output, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, self.vocab_size)
        return nn.functional.log_softmax(decoded, dim=1), hidden


def word_language_model(network: Network) -> Case:
    """The example's `--onnx-export`: T = 35, B = 1, and no names."""
    module = WordLanguageModel(network)
    load(module, network)
    zeros = tuple(torch.zeros(network.layers, 1, network.hidden_sizes[0]) for _ in network.kinds)
    hidden = zeros if network.cell == "lstm" else zeros[0]
    file = export(module, (torch.zeros(35, 1, dtype=torch.int64), hidden))
    inputs, outputs = [i.name for i in file.graph.input], [o.name for o in file.graph.output]
    layers = tuple(range(network.layers))
    parts = tuple(Part(inputs[1 + k], outputs[1 + k], kind, layers) for k, kind in enumerate(network.kinds))
    ports = Ports(inputs[0], outputs[0], values="log", form="flat", state=parts)
    name = f"word-language-model-{network.cell}-{network.layers}" + ("-tied" if network.tied else "")
    return Case(name, file, "lowered", network, ports, oracle="twin", frozen=(35, 1))


class Icefall(nn.Module):
    """The form that sherpa-onnx reads: all of `x` advances the state, but only position 0 is returned."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.input_embedding = nn.Embedding(network.vocab_size, network.embedding_size)
        self.rnn = recurrent(network, batch_first=True)
        self.output_linear = nn.Linear(network.hidden_sizes[0], network.vocab_size)

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output, (h, c) = self.rnn(self.input_embedding(x), (h0, c0))
        return self.output_linear(output)[:, 0].log_softmax(dim=-1), h, c


def icefall(network: Network) -> Case:
    module = Icefall(network)
    load(module, network)
    state = [torch.zeros(network.layers, 1, network.hidden_sizes[0]) for _ in "hc"]
    names = ["x", "h0", "c0"], ["log_softmax", "next_h0", "next_c0"]
    axes = {"x": {0: "N", 1: "L"}, "log_softmax": {0: "N"}}
    axes |= {name: {1: "N"} for name in names[0][1:] + names[1][1:]}
    options = {"input_names": names[0], "output_names": names[1], "dynamic_axes": axes, "opset_version": 13}
    file = export(module, (torch.zeros(1, 1, dtype=torch.int64), *state), **options)
    sizes = {"vocab_size": network.vocab_size, "num_layers": network.layers, "hidden_size": network.hidden_sizes[0]}
    onnx.helper.set_model_props(file, {"model_type": "rnnlm", "sos_id": "1", "eos_id": "1"} | {k: str(v) for k, v in sizes.items()})
    parts = tuple(Part(f"{kind}0", f"next_{kind}0", kind, tuple(range(network.layers))) for kind in "hc")
    ports = Ports("x", "log_softmax", False, values="log", form="first", state=parts)
    return Case(f"icefall-{network.layers}" + ("-tied" if network.tied else ""), file, "lowered", network, ports, oracle="twin")


class Espnet(nn.Module):
    """`seq_rnnlm`: `[B, L]` ids, states `[L, B, H]`, logits `[B, L, V]`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.encoder = nn.Embedding(network.vocab_size, network.embedding_size, padding_idx=0)
        self.rnn = recurrent(network, batch_first=True)
        self.decoder = nn.Linear(network.hidden_sizes[0], network.vocab_size)

    def forward(self, x: Tensor, *hidden: Tensor) -> tuple[Tensor, ...]:
        output, hidden = self.rnn(self.encoder(x), hidden if len(hidden) == 2 else hidden[0])
        flat = output.contiguous().view(output.size(0) * output.size(1), output.size(2))
        decoded = self.decoder(flat)
        y = decoded.view(output.size(0), output.size(1), decoded.size(1))
        return (y, *hidden) if isinstance(hidden, tuple) else (y, hidden)


def espnet(network: Network) -> Case:
    module = Espnet(network)
    load(module, network)
    count = len(network.kinds)
    ins, outs = (["x"] + [f"in_hidden{k + 1}" for k in range(count)]), (["y"] + [f"out_hidden{k + 1}" for k in range(count)])
    axes = {"x": {0: "batch", 1: "length"}, "y": {0: "batch", 1: "length"}} | {name: {1: "batch"} for name in ins[1:] + outs[1:]}
    state = [torch.zeros(network.layers, 2, network.hidden_sizes[0]) for _ in network.kinds]
    options = {"input_names": ins, "output_names": outs, "dynamic_axes": axes, "opset_version": 15}
    file = export(module, (torch.zeros(2, 3, dtype=torch.int64), *state), **options)
    layers = tuple(range(network.layers))
    parts = tuple(Part(i, o, kind, layers) for kind, i, o in zip(network.kinds, ins[1:], outs[1:]))
    return Case(f"espnet-{network.cell}", file, "lowered", network, Ports("x", "y", False, state=parts))


class OwnLayers(nn.Module):
    """Every layer is a module with its own size and its own state `[B, H]`, as step-by-step servers prefer it."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.encoder = nn.Embedding(network.vocab_size, network.embedding_size)
        sizes = (network.embedding_size, *network.hidden_sizes)
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[network.cell]
        self.layers = nn.ModuleList(kind(i, h, batch_first=True) for i, h in zip(sizes, sizes[1:]))
        self.decoder = nn.Linear(sizes[-1], network.vocab_size)
        self.width = len(network.kinds)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        y, after = self.encoder(x), []
        for k, layer in enumerate(self.layers):
            share = [part.unsqueeze(0) for part in state[k * self.width : (k + 1) * self.width]]
            y, out = layer(y, tuple(share) if self.width == 2 else share[0])
            after += [part.squeeze(0) for part in (out if self.width == 2 else (out,))]
        return (self.decoder(y), *after)


class Packed(nn.Module):
    """Both h and c in one tensor `[2, L, B, H]`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.encoder = nn.Embedding(network.vocab_size, network.embedding_size)
        self.rnn = recurrent(network)
        self.decoder = nn.Linear(network.hidden_sizes[0], network.vocab_size)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, after = self.rnn(self.encoder(x), (state[0], state[1]))
        return self.decoder(output), torch.stack(after)


def flat_states() -> Iterator[Case]:
    for network in (Network("lstm", (6, 4)), Network("gru", (6, 4, 5))):
        module = OwnLayers(network)
        load(module, network)
        keys = [(kind, k) for k in range(network.layers) for kind in network.kinds]
        parts = tuple(Part(f"{kind}{k}", f"{kind}{k}_out", kind, (k,), "BH") for kind, k in keys)
        ins, outs = ["x"] + [part.input for part in parts], ["y"] + [part.output for part in parts]
        axes = {"x": {0: "B", 1: "T"}, "y": {0: "B", 1: "T"}} | {name: {0: "B"} for name in ins[1:] + outs[1:]}
        state = [torch.zeros(2, network.hidden_sizes[k]) for _, k in keys]
        options = {"input_names": ins, "output_names": outs, "dynamic_axes": axes, "opset_version": 17}
        file = export(module, (torch.zeros(2, 3, dtype=torch.int64), *state), **options)
        yield Case(f"own-layers-{network.cell}", file, "lowered", network, Ports("x", "y", False, state=parts))
    network = Network("lstm", (5, 5))
    module = Packed(network)
    load(module, network)
    axes = {"x": {0: "T", 1: "B"}, "y": {0: "T", 1: "B"}, "state": {2: "B"}, "state_out": {2: "B"}}
    options = {"input_names": ["x", "state"], "output_names": ["y", "state_out"], "dynamic_axes": axes, "opset_version": 17}
    file = export(module, (torch.zeros(3, 2, dtype=torch.int64), torch.zeros(2, 2, 2, 5)), **options)
    yield Case("packed-lstm", file, "lowered", network, Ports("x", "y", state=(Part("state", "state_out", "hc", (0, 1), "KLBH"),)))
