"""Networks with more than layers: projected LSTMs, states that were learned, affine layers and normalisations on the way."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from case import Case, Part, Ports
from graph import Name
from layers import affine
from loops import Style as LoopStyle
from loops import build as build_loop
from network import Network
from pytorch import cleaned
from unrecognised import HIDDEN, Net

VOCAB, WIDTH = 11, 5


def cases() -> Iterator[Case]:
    yield from projected()
    yield from learned()
    yield from norms()
    yield from norms_by_hand()


def projected() -> Iterator[Case]:
    """PyTorch's exporters refuse `proj_size`, or drop it; what is left are steps that are written out."""
    for hidden in ((5,), (7, 5)):
        network = Network("lstm", hidden, projection=3)
        for op in ("Scan", "Loop"):
            yield projected_case(f"lstm-{len(hidden)}-{op.lower()}-projected", network, LoopStyle(op))
    yield projected_case("lstm-loop-joined-projected-bt", Network("lstm", (6,), projection=6), LoopStyle(joined=True, time_major=False))
    spoiled = LoopStyle("Scan", spoiled="biased-projection")
    case = projected_case("lstm-scan-biased-projection", Network("lstm", projection=3), spoiled)
    yield Case(case.name, case.model, "refused", says="its step is none of an RNN, a GRU or an LSTM", oracle="none")


def projected_case(name: str, network: Network, style: LoopStyle) -> Case:
    parts = [Part(f"{kind}{k}_in", f"{kind}{k}_out", kind, (k,), "BH") for k in range(network.layers) for kind in network.kinds]
    return Case(name, build_loop(network, style), "lowered", ports=Ports("x", "y", style.time_major, state=tuple(parts)))


@dataclass(frozen=True)
class Style:
    """How a module was written and exported."""

    cell: str = "lstm"
    layers: int = 2
    norms: tuple[str, ...] = ()
    """Before each layer, and last before the output layer: `layer`, `batch` or nothing."""
    start: str = ""
    """How a learned state gets as many rows as the ids have: `expand`, `repeat`, `each` (a parameter a layer), `joined` (those of all
    layers side by side), or nothing."""
    batch_first: bool = False
    opset: int = 17
    head: str = ""
    """`batch`: an affine layer and a batch normalisation before the output layer."""
    affine: bool = True
    """Whether layer normalisations have a scale and a shift."""


class Model(nn.Module):
    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        torch.manual_seed(7)
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}[style.cell]
        self.encoder = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(kind(WIDTH, WIDTH, batch_first=style.batch_first) for _ in range(style.layers))
        norms = {
            "layer": lambda: nn.LayerNorm(WIDTH, elementwise_affine=style.affine),
            "batch": lambda: nn.BatchNorm1d(WIDTH),
            "": nn.Identity,
        }
        self.norms = nn.ModuleList(norms[name]() for name in style.norms)
        self.inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), Features(nn.BatchNorm1d(WIDTH))) if style.head else nn.Identity()
        self.decoder = nn.Linear(WIDTH, VOCAB)
        kinds = len(self.kinds())
        self.start = nn.Parameter(torch.randn(kinds, style.layers, 1, WIDTH))
        self.starts = nn.ParameterList(torch.randn(kinds, 1, WIDTH) for _ in range(style.layers))
        for module in self.modules():
            if isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)) and module.weight is not None:
                nn.init.uniform_(module.weight, 0.3, 1.5)
                nn.init.uniform_(module.bias, -1, 1)
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.1, 0.9)

    def kinds(self) -> str:
        return "hc" if self.style.cell == "lstm" else "h"

    def forward(self, x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        style, lasts = self.style, []
        rows = x.shape[0 if style.batch_first else 1]
        h = self.encoder(x)
        for k, layer in enumerate(self.layers):
            h = self.normalised(k, h)
            state = self.state(k, rows) if style.start else [tensor[k : k + 1] for tensor in given]
            h, after = layer(h, tuple(state) if style.cell == "lstm" else state[0])
            lasts.append(after if style.cell == "lstm" else (after,))
        y = self.decoder(self.inner(self.normalised(style.layers, h)))
        return (y, *(torch.cat([last[kind] for last in lasts]) for kind in range(len(lasts[0]))))

    def state(self, k: int, rows: int) -> list[Tensor]:
        if self.style.start == "each":
            return [kind.unsqueeze(0).expand(-1, rows, -1) for kind in self.starts[k]]
        if self.style.start == "joined":
            layers = [[kind.unsqueeze(0).expand(-1, rows, -1) for kind in layer] for layer in self.starts]
            return [torch.cat([layer[kind] for layer in layers])[k : k + 1] for kind in range(len(self.kinds()))]
        return [
            (kind.expand(-1, rows, -1) if self.style.start == "expand" else kind.repeat(1, rows, 1))[k : k + 1]
            for kind in self.start
        ]

    def normalised(self, place: int, h: Tensor) -> Tensor:
        if place >= len(self.norms):
            return h
        norm = self.norms[place]
        return Features(norm)(h) if isinstance(norm, nn.BatchNorm1d) else norm(h)


class Features(nn.Module):
    """A module that wants the features along axis 1."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, h: Tensor) -> Tensor:
        return self.module(h.transpose(1, 2)).transpose(1, 2)


def torchscript(name: str, style: Style) -> Case:
    kinds = "hc" if style.cell == "lstm" else "h"
    layers = tuple(range(style.layers))
    parts = tuple(Part(None if style.start else f"{kind}0", f"{kind}n", kind, layers) for kind in kinds)
    outcome, says = ("warned", "no input and output for the state") if style.start else ("lowered", "")
    ports = Ports("x", "y", not style.batch_first, state=parts)
    return Case(name, lambda: scripted(style), outcome, ports=ports, says=says)


def scripted(style: Style) -> onnx.ModelProto:
    model = Model(style).eval()
    kinds = model.kinds()
    x = torch.zeros((2, 3) if style.batch_first else (3, 2), dtype=torch.int64)
    given = () if style.start else tuple(torch.zeros(style.layers, 2, WIDTH) for _ in kinds)
    inputs, outputs = ["x", *(f"{kind}0" for kind in kinds[: len(given)])], ["y", *(f"{kind}n" for kind in kinds)]
    order = {0: "B", 1: "T"} if style.batch_first else {0: "T", 1: "B"}
    axes = {"x": order, "y": order} | {port: {1: "B"} for port in [*inputs[1:], *outputs[1:]]}
    file = io.BytesIO()
    options = {"input_names": inputs, "output_names": outputs, "dynamic_axes": axes, "opset_version": style.opset}
    torch.onnx.export(model, (x, *given), file, dynamo=False, **options)
    return cleaned(onnx.load_model_from_string(file.getvalue()))


def learned() -> Iterator[Case]:
    for cell in ("lstm", "gru", "rnn_tanh"):
        for start in ("expand", "repeat", "each"):
            order = "bt" if start == "repeat" else "tb"
            style = Style(cell, start=start, batch_first=order == "bt", layers=2 if start != "each" else 1)
            yield torchscript(f"torchscript-{cell}-start-{start}-{order}", style)
    yield torchscript("torchscript-lstm-start-joined-tb", Style(start="joined"))
    yield torchscript("torchscript-gru-start-joined-bt", Style("gru", start="joined", layers=3, batch_first=True))
    yield torchscript("torchscript-lstm-start-opset11", Style(start="expand", opset=11))
    yield torchscript("torchscript-lstm-start-norms", Style(start="repeat", norms=("layer", "batch", "layer")))


def norms() -> Iterator[Case]:
    everywhere = ("layer",) * 3
    yield torchscript("torchscript-lstm-layer-norms", Style(norms=everywhere))
    yield torchscript("torchscript-lstm-layer-norms-decomposed", Style(norms=everywhere, opset=13))
    yield torchscript("torchscript-lstm-layer-norms-plain", Style(norms=everywhere, opset=14, affine=False))
    yield torchscript("torchscript-gru-layer-norm-between-bt", Style("gru", norms=("", "layer"), batch_first=True))
    yield torchscript("torchscript-rnn_tanh-layer-norm-before-output", Style("rnn_tanh", norms=("", "", "layer"), opset=20))
    batch = ("batch",) * 3
    for first in (False, True):
        name = f"torchscript-lstm-batch-norms-{'bt' if first else 'tb'}"
        # A batch of `[B, C, T]` is what it must be given.
        yield torchscript(name, Style(norms=batch, batch_first=first, opset=18))
    yield torchscript("torchscript-gru-mixed-norms", Style("gru", norms=("batch", "layer", "batch"), batch_first=True))
    yield torchscript("torchscript-lstm-head-batch-norm", Style(head="batch", batch_first=True))


def norms_by_hand() -> Iterator[Case]:
    around: dict[str, Callable] = {
        "lstm-layer-norm": layer_norm,
        "lstm-layer-norm-reciprocal": lambda net, k, value, recur: written_out(net, recur(value), square="Mul", root="Reciprocal"),
        "lstm-layer-norm-power": lambda net, k, value, recur: written_out(net, recur(value), square="Pow", root="Pow"),
        "lstm-scale-and-shift": scaled,
        "lstm-layer-norm-keras": lambda net, k, value, recur: factored(net, recur(value)),
        "lstm-layer-norm-keras-plain": lambda net, k, value, recur: factored(net, recur(value), affine=False),
        "lstm-layer-norm-keras-2": lambda net, k, value, recur: factored(net, recur(value), negate=False),
        "lstm-layer-norm-scaled-root": lambda net, k, value, recur: scaled_root(net, recur(value)),
        "lstm-batch-norm-keras": lambda net, k, value, recur: batch_factored(net, recur(value)),
        "lstm-layer-norm-twice": lambda net, k, value, recur: written_out(net, layer_norm(net, k, value, recur), square="Pow", root="Sqrt"),
    }
    for name, style in (("", {}), ("-powers", {"square": "Pow"}), ("-relu", {"clamp": "Relu"}), ("-max", {"clamp": "Max"})):
        around[f"lstm-layer-norm-squares{name}"] = lambda net, k, value, recur, style=style: by_squares(net, recur(value), **style)
    for op in ("LSTM", "GRU", "RNN"):
        net = Net(op, around=linear_between, layers=3)
        yield Case(f"{op.lower()}-linear-between", net.model, "lowered", ports=net.ports)
    for name, how in around.items():
        net = Net("LSTM", around=how)
        yield Case(name, net.model, "lowered", ports=net.ports)
    for name, spoil in (("mean", "mean-of-another"), ("factor", "other-factor")):
        net = Net("LSTM", around=lambda net, k, value, recur, spoil=spoil: factored(net, recur(value), spoil=spoil, other=value))
        yield Case(f"lstm-layer-norm-keras-other-{name}", net.model, "tract", ports=net.ports)
    net = Net("LSTM", around=of_another)
    yield Case("lstm-layer-norm-of-another", net.model, "tract", ports=net.ports)
    net = Net("GRU", around=lambda net, k, value, recur: by_squares(net, recur(by_squares(net, value)), square="Pow", clamp="Max"), layers=2)
    yield Case("gru-2-layer-norm-squares-everywhere", net.model, "lowered", ports=net.ports)
    net = Net("LSTM", around=lambda net, k, value, recur: by_squares(net, recur(value), of=value, clamp="Max"))
    yield Case("lstm-layer-norm-squares-of-another", net.model, "tract", ports=net.ports)
    net = Net("LSTM", around=layer_norm)
    next(tensor for tensor in net.graph.initializers if tensor.name == "scale").CopyFrom(
        onnx.numpy_helper.from_array(np.ones(HIDDEN - 1, np.float32), "scale")
    )
    yield Case("lstm-layer-norm-narrow", net.model, "refused", ports=net.ports, oracle="none")


def layer_norm(net: Net, k: int, value: Name, recur: Callable) -> Name:
    return net.graph.op("LayerNormalization", recur(value), net.weight("scale", HIDDEN), net.weight("shift", HIDDEN), axis=-1)


def linear_between(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """An affine layer above each layer but the last, the second one after a normalisation."""
    if k == 2:
        return recur(value)
    return affine(net, f"between{k}", recur(value) if k == 0 else layer_norm(net, k, value, recur))


def written_out(net: Net, h: Name, square: str, root: str, of: Name | None = None) -> Name:
    """The mean is that of `of`, if it is given."""
    graph = net.graph
    number = lambda value: graph.constant(value, dtype=np.float32)  # noqa: E731
    centred = graph.op("Sub", h, graph.reduce("ReduceMean", of or h, (-1,), keepdims=1))
    squared = graph.op("Mul", centred, centred) if square == "Mul" else graph.op("Pow", centred, number(2.0))
    variance = graph.op("Add", graph.reduce("ReduceMean", squared, (-1,), keepdims=1), number(1e-5))
    if root == "Reciprocal":
        return graph.op("Mul", graph.op("Reciprocal", graph.op("Sqrt", variance)), centred)
    deviation = graph.op("Sqrt", variance) if root == "Sqrt" else graph.op("Pow", variance, number(0.5))
    return graph.op("Div", centred, deviation)


def by_squares(net: Net, h: Name, square: str = "Mul", clamp: str = "", of: Name | None = None) -> Name:
    """The variance as `mean(x^2) - mean(x)^2`, as Flax has it, with a scale and a shift. The squares are those of `of`, if
    it is given."""
    graph = net.graph
    number = lambda value: graph.constant(value, dtype=np.float32)  # noqa: E731

    def squared(value: Name) -> Name:
        return graph.op("Mul", value, value) if square == "Mul" else graph.op("Pow", value, number(2.0))

    mean = graph.reduce("ReduceMean", h, (-1,), keepdims=1)
    variance = graph.op("Sub", graph.reduce("ReduceMean", squared(of or h), (-1,), keepdims=1), squared(mean))
    if clamp:
        variance = graph.op("Relu", variance) if clamp == "Relu" else graph.op("Max", variance, number(0.0))
    deviation = graph.op("Sqrt", graph.op("Add", variance, number(1e-3)))
    normed = graph.op("Div", graph.op("Sub", h, mean), deviation)
    names = [f"{name}_{graph.fresh('norm')}" for name in ("scale", "shift")]
    return graph.op("Add", graph.op("Mul", normed, net.weight(names[0], HIDDEN)), net.weight(names[1], HIDDEN))


def factored(net: Net, h: Name, affine: bool = True, negate: bool = True, spoil: str = "", other: Name = "") -> Name:
    """`h f + (shift - mean f)`, as Keras has it; Keras 3 negates the mean, Keras 2 subtracts."""
    graph = net.graph
    mean, inverse = moments(net, h)
    factor = graph.op("Mul", inverse, net.weight("scale", HIDDEN)) if affine else inverse
    if spoil == "mean-of-another":
        mean = graph.reduce("ReduceMean", other, (-1,), keepdims=1)
    by = inverse if spoil == "other-factor" else factor
    if negate:
        rest = graph.op("Mul", graph.op("Neg", mean), by)
        rest = graph.op("Add", rest, net.weight("shift", HIDDEN)) if affine else rest
    else:
        rest = graph.op("Sub", net.weight("shift", HIDDEN), graph.op("Mul", mean, by))
    return graph.op("Add", graph.op("Mul", h, factor), rest)


def moments(net: Net, h: Name) -> tuple[Name, Name]:
    """The mean, and the reciprocal of the deviation (`Rsqrt`)."""
    graph = net.graph
    mean = graph.reduce("ReduceMean", h, (-1,), keepdims=1)
    difference = graph.op("Sub", h, mean)
    variance = graph.reduce("ReduceMean", graph.op("Mul", difference, difference), (-1,), keepdims=1)
    root = graph.op("Sqrt", graph.op("Add", variance, graph.constant(1e-3, dtype=np.float32)))
    return mean, graph.op("Reciprocal", root)


def scaled_root(net: Net, h: Name) -> Name:
    """`(h - mean) (scale / deviation) + shift`."""
    graph = net.graph
    mean, inverse = moments(net, h)
    product = graph.op("Mul", graph.op("Sub", h, mean), graph.op("Mul", inverse, net.weight("scale", HIDDEN)))
    return graph.op("Add", product, net.weight("shift", HIDDEN))


def batch_factored(net: Net, h: Name) -> Name:
    """`h f + (shift - mean f)` with the statistics of the file, none of them folded."""
    graph = net.graph
    variance = graph.op("Mul", net.weight("variance", HIDDEN), net.weight("variance_again", HIDDEN))
    positive = graph.op("Add", graph.op("Mul", variance, variance), graph.constant(1e-3, dtype=np.float32))
    factor = graph.op("Mul", graph.op("Reciprocal", graph.op("Sqrt", positive)), net.weight("scale", HIDDEN))
    rest = graph.op("Sub", net.weight("shift", HIDDEN), graph.op("Mul", net.weight("mean", HIDDEN), factor))
    return graph.op("Add", graph.op("Mul", h, factor), rest)


def scaled(net: Net, k: int, value: Name, recur: Callable) -> Name:
    graph = net.graph
    h = graph.op("Mul", recur(value), net.weight("scale", HIDDEN))
    h = graph.op("Sub", graph.op("Add", net.weight("shift", HIDDEN), h), graph.constant(0.25, dtype=np.float32))
    return graph.op("Div", h, graph.constant(np.full((1, 1, HIDDEN), 1.5), dtype=np.float32))


def of_another(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """Minus the mean of what the layer reads: no layer normalisation."""
    return written_out(net, recur(value), square="Pow", root="Sqrt", of=value)
