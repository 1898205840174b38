"""Files that PyTorch exports: with `dynamo=False` (TorchScript) in all its opsets, and with `dynamo=True`."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from case import Case, Part, Ports
from network import Network

torch.set_num_threads(1)
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def cases() -> Iterator[Case]:
    for cell in ("rnn_tanh", "rnn_relu", "gru", "lstm"):
        for hidden in [(5,), (5, 5)]:
            for batch_first in (False, True):
                name = f"torchscript-{cell}-{len(hidden)}-{'bt' if batch_first else 'tb'}"
                yield torchscript(name, Network(cell, hidden), Style(batch_first=batch_first))
    # Below opset 9, weights are reordered by nodes instead of folded. The other cases use 17.
    for opset in (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20):
        yield torchscript(f"torchscript-lstm-2-opset{opset}", Network("lstm", (5, 5)), Style(opset=opset))
    for opset in (7, 9, 14, 20):
        yield torchscript(f"torchscript-gru-2-opset{opset}", Network("gru", (5, 5)), Style(opset=opset))
        yield torchscript(f"torchscript-rnn_relu-opset{opset}", Network("rnn_relu"), Style(opset=opset))
    yield from outputs()
    yield from glue()
    yield from dynamo_cases()


@dataclass(frozen=True)
class Style:
    """How a module was written and exported."""

    batch_first: bool = False
    opset: int = 17
    values: str = "logits"
    positions: str = "steps"
    """`steps`, `flat`, `last`, or `vocab_first` as cross-entropy expects it."""
    state: str = "exposed"
    """`exposed`, `lost`, `read_only`, `write_only`."""
    frozen: tuple[int | None, int | None] = (None, None)
    ids: torch.dtype = torch.int64
    fold: bool = True
    dropout: float = 0.0
    half: bool = False
    keep_initializers: bool = False


def outputs() -> Iterator[Case]:
    lstm, gru = Network("lstm", (5, 5)), Network("gru")
    for values in ("log", "probabilities"):
        yield torchscript(f"torchscript-lstm-{values}", lstm, Style(values=values))
    yield torchscript("torchscript-lstm-flat-log", lstm, Style(values="log", positions="flat"))
    yield torchscript("torchscript-gru-flat-bt", gru, Style(positions="flat", batch_first=True))
    yield torchscript("torchscript-lstm-last", lstm, Style(positions="last"))
    style = Style(positions="last", batch_first=True, values="probabilities")
    yield torchscript("torchscript-gru-last-bt-probabilities", gru, style)
    yield torchscript("torchscript-lstm-vocabulary-first", lstm, Style(positions="vocab_first", batch_first=True))
    for cell in ("rnn_tanh", "gru", "lstm"):
        network = Network(cell, (5, 5))
        yield torchscript(f"torchscript-{cell}-lost", network, Style(state="lost"))
        yield torchscript(f"torchscript-{cell}-lost-last-bt", network, Style(state="lost", positions="last", batch_first=True))
        yield torchscript(f"torchscript-{cell}-frozen", network, Style(frozen=(7, 2)))
    yield torchscript("torchscript-lstm-read-only", lstm, Style(state="read_only"))
    yield torchscript("torchscript-lstm-write-only", lstm, Style(state="write_only"))
    style = Style(state="lost", frozen=(6, None), positions="last", batch_first=True)
    yield torchscript("torchscript-lstm-lost-frozen-t-last-bt", lstm, style)


def glue() -> Iterator[Case]:
    lstm, gru = Network("lstm", (5, 5)), Network("gru")
    yield torchscript("torchscript-lstm-int32", lstm, Style(ids=torch.int32))
    yield torchscript("torchscript-gru-float-ids", gru, Style(ids=torch.float32))
    yield torchscript("torchscript-lstm-not-folded", lstm, Style(fold=False))
    yield torchscript("torchscript-gru-not-folded-lost", gru, Style(fold=False, state="lost"))
    yield torchscript("torchscript-lstm-dropout", lstm, Style(dropout=0.3))
    yield torchscript("torchscript-lstm-initializers-as-inputs", lstm, Style(keep_initializers=True, opset=11))
    tied = Network("lstm", (6, 6), embedding_size=6, tied=True)
    yield torchscript("torchscript-lstm-tied", tied, Style())
    yield torchscript("torchscript-lstm-tied-not-folded", tied, Style(fold=False, values="log"))
    yield torchscript("torchscript-lstm-no-bias", Network("lstm", (5, 5), bias="none", output_bias=False), Style())
    yield torchscript("torchscript-gru-no-bias", Network("gru", bias="none", output_bias=False), Style())
    yield torchscript("torchscript-lstm-3", Network("lstm", (5, 5, 5)), Style(batch_first=True))
    # The whole module in half precision, including the states. The numbers are those of its weights in single precision.
    for cell in ("lstm", "gru"):
        yield torchscript(f"torchscript-{cell}-half", Network(cell, dtype="f16"), Style(half=True))


class Model(nn.Module):
    """Embedding, recurrent layers and affine layer, as most people write them."""

    def __init__(self, network: Network, style: Style) -> None:
        super().__init__()
        self.network, self.style = network, style
        options = {"bias": network.bias != "none", "batch_first": style.batch_first, "dropout": style.dropout}
        if network.cell.startswith("rnn"):
            options["nonlinearity"] = network.cell.removeprefix("rnn_")
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}.get(network.cell, nn.RNN)
        self.encoder = nn.Embedding(network.vocab_size, network.embedding_size)
        self.rnn = kind(network.embedding_size, network.hidden_sizes[0], network.layers, **options)
        self.decoder = nn.Linear(network.hidden_sizes[-1], network.vocab_size, bias=network.output_bias)
        self.drop = nn.Dropout(style.dropout)
        weights = {name: torch.from_numpy(tensor) for name, tensor in network.weights().items()}
        self.load_state_dict(weights, strict=not network.tied)
        if network.tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        style = self.style
        embedded = self.drop(self.encoder(x if x.dtype in (torch.int64, torch.int32) else x.long()))
        if not state:
            steps, after = self.rnn(embedded)
        else:
            steps, after = self.rnn(embedded, state if self.network.cell == "lstm" else state[0])
        if style.positions == "last":
            steps = steps[:, -1] if style.batch_first else steps[-1]
        y = self.decoder(self.drop(steps))
        if style.positions == "flat":
            y = y.view(-1, self.network.vocab_size)
        if style.positions == "vocab_first":
            y = y.permute(0, 2, 1)
        if style.values != "logits":
            y = (nn.functional.log_softmax if style.values == "log" else nn.functional.softmax)(y, dim=-1)
        after = after if self.network.cell == "lstm" else (after,)
        return (y, *after) if style.state in ("exposed", "write_only") else (y,)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the fixed sizes, or of any size."""
        style, network = self.style, self.network
        time, batch = style.frozen[0] or 3, style.frozen[1] or 2
        x = torch.zeros((batch, time) if style.batch_first else (time, batch), dtype=style.ids)
        dtype = torch.float16 if style.half else torch.float32
        state = [torch.zeros(network.layers, batch, network.hidden_sizes[0], dtype=dtype) for _ in network.kinds]
        return (x, *state) if style.state in ("exposed", "read_only") else (x,)

    def ports(self) -> Ports:
        style, network = self.style, self.network
        dtype = np.float16 if style.half else np.float32
        reads, writes = style.state in ("exposed", "read_only"), style.state in ("exposed", "write_only")
        parts = [
            Part(f"{kind}0" if reads else None, f"{kind}n" if writes else None, kind, tuple(range(network.layers)), dtype=dtype)
            for kind in network.kinds
        ]
        ids = {torch.int64: np.int64, torch.int32: np.int32, torch.float32: np.float32}[style.ids]
        parts = tuple(parts) if reads or writes else ()
        return Ports("x", "y", not style.batch_first, ids, style.values, style.positions, parts)


class Cells(Model):
    """The same as a loop over the cell, which calls the output layer at each position."""

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        step = {"gru": torch.gru_cell, "lstm": torch.lstm_cell, "rnn_tanh": torch.rnn_tanh_cell}[self.network.cell]
        weights = [getattr(self.rnn, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        state, steps = tuple(part[0] for part in state), []
        for position in self.encoder(x):
            after = step(position, state if len(state) > 1 else state[0], *weights)
            state = after if isinstance(after, tuple) else (after,)
            steps.append(self.decoder(state[0]))
        return (torch.stack(steps), *(part.unsqueeze(0) for part in state))


def torchscript(name: str, network: Network, style: Style) -> Case:
    model = Model(network, style).eval()
    return exported(name, lambda: scripted(model), model)


def scripted(model: Model) -> onnx.ModelProto:
    style, ports, (time, batch) = model.style, model.ports(), model.style.frozen
    axes = {"x": named(style, {"T": time, "B": batch})}
    for part in ports.state:
        axes |= {port: {1: "B"} for port in (part.input, part.output) if port and not batch}
    y = {"flat": {0: "N"}, "last": {} if batch else {0: "B"}, "vocab_first": {0: "B", 2: "T"}}
    axes["y"] = y.get(style.positions, axes["x"])
    file = io.BytesIO()
    torch.onnx.export(
        model.half() if style.half else model,
        model.example(),
        file,
        input_names=["x"] + [part.input for part in ports.state if part.input],
        output_names=["y"] + [part.output for part in ports.state if part.output],
        dynamic_axes={key: value for key, value in axes.items() if value},
        opset_version=style.opset,
        do_constant_folding=style.fold,
        keep_initializers_as_inputs=style.keep_initializers,
        dynamo=False,
    )
    return cleaned(onnx.load_model_from_string(file.getvalue()))


def named(style: Style, sizes: dict[str, int | None]) -> dict[int, str]:
    """The axes of the ids that are not fixed."""
    order = ("B", "T") if style.batch_first else ("T", "B")
    return {axis: symbol for axis, symbol in enumerate(order) if sizes[symbol] is None}


def exported(name: str, source: Callable[[], onnx.ModelProto], model: Model, **more) -> Case:
    """The case of an export that is lowered. The oracle is the file if it exposes everything, and otherwise its network."""
    style = model.style
    complete = style.state == "exposed" and style.positions != "last" and style.frozen == (None, None) and not style.half
    runtime = "none" if style.half else "onnxruntime"
    more = {"oracle": "file" if complete else "twin", "frozen": style.frozen, "runtime": runtime} | more
    more = {"outcome": "lowered"} | more
    return Case(name, source, network=model.network, ports=model.ports(), **more)


def cleaned(file: onnx.ModelProto) -> onnx.ModelProto:
    """Removes the notes that exporters add for people: they contain paths, and take up most of a small file."""
    graph = file.graph
    del graph.metadata_props[:]
    for thing in [graph, *graph.node]:
        thing.doc_string = ""
    for thing in [*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        del thing.metadata_props[:]
    return file


def dynamo_cases() -> Iterator[Case]:
    for cell in ("gru", "lstm"):
        for hidden in [(5,), (5, 5)]:
            for batch_first in (False, True):
                order = "bt" if batch_first else "tb"
                style = Style(batch_first=batch_first, opset=18, frozen=(3, None))
                yield dynamo(f"dynamo-{cell}-{len(hidden)}-{order}", Network(cell, hidden), style)
    for opset in (20, 21, 22, 23, 24):
        yield dynamo(f"dynamo-lstm-opset{opset}", Network("lstm"), Style(opset=opset, frozen=(3, 2)))
    yield dynamo("dynamo-gru-opset23", Network("gru"), Style(opset=23, frozen=(3, 2)))
    lstm, gru = Network("lstm"), Network("gru")
    yield dynamo("dynamo-lstm-log-lost", lstm, Style(opset=18, frozen=(3, None), values="log", state="lost"))
    yield dynamo("dynamo-gru-last-bt", gru, Style(opset=18, frozen=(3, None), positions="last", batch_first=True))
    tied = Network("lstm", (6, 6), embedding_size=6, tied=True)
    yield dynamo("dynamo-lstm-tied", tied, Style(opset=18, frozen=(3, None)))
    yield dynamo("dynamo-lstm-no-bias", Network("lstm", bias="none", output_bias=False), Style(opset=18, frozen=(3, 2)))
    # The exporter has no operator for these and unrolls them.
    for cell in ("rnn_tanh", "rnn_relu"):
        for batch_first in (False, True):
            order = "bt" if batch_first else "tb"
            style = Style(opset=18, frozen=(1, 1), batch_first=batch_first)
            yield dynamo(f"dynamo-{cell}-unrolled-{order}", Network(cell), style)
            style = Style(opset=18, frozen=(5, None), batch_first=batch_first)
            yield dynamo(f"dynamo-{cell}-unrolled-5-{order}", Network(cell), style)
    two = Network("rnn_tanh", (5, 5))
    yield dynamo("dynamo-rnn_tanh-2-unrolled", two, Style(opset=18, frozen=(1, 1)))
    yield dynamo("dynamo-rnn_tanh-2-unrolled-4", two, Style(opset=18, frozen=(4, None), values="log"))
    style = Style(opset=18, frozen=(4, 2), state="lost", batch_first=True)
    yield dynamo("dynamo-rnn_tanh-2-unrolled-lost-b2", two, style)
    style = Style(opset=18, frozen=(4, None), state="lost", positions="last", batch_first=True)
    yield dynamo("dynamo-rnn_relu-unrolled-lost-last", Network("rnn_relu"), style)
    for cell in ("rnn_tanh", "gru", "lstm"):
        model = Cells(Network(cell), Style(opset=18, frozen=(4, None))).eval()
        yield exported(f"dynamo-{cell}-cell-4", lambda model=model: traced(model), model)
    yield dynamo("dynamo-rnn_tanh-unrolled-no-bias", Network("rnn_tanh", bias="none"), Style(opset=18, frozen=(3, None)))

def dynamo(name: str, network: Network, style: Style, **more) -> Case:
    model = Model(network, style).eval()
    return exported(name, lambda: traced(model), model, **more)


def traced(model: Model) -> onnx.ModelProto:
    style, ports = model.style, model.ports()
    # The exporter fixes T at the length of the example, whatever is requested.
    dynamic = None
    if style.frozen[1] is None:
        batch = torch.export.Dim("B")
        states = tuple({1: batch} for _ in model.example()[1:])
        dynamic = ({0 if style.batch_first else 1: batch},) + ((states,) if states else ())
    program = torch.onnx.export(
        model,
        model.example(),
        input_names=["x"] + [part.input for part in ports.state if part.input],
        output_names=["y"] + [part.output for part in ports.state if part.output],
        dynamic_shapes=dynamic,
        opset_version=style.opset,
        dynamo=True,
        verbose=False,
    )
    return cleaned(program.model_proto)
