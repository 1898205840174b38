"""Padding that a network skips (`mask_zero` in Keras), as weights that leave its state at zero while it reads padding.

A server reads the padding of a window like any other token. Here the padding token's vector becomes a signal of its own: inputs that
are 1 for padding and 0 for everything else. Their weights cancel the bias of each unit's candidate, so that a state of zeros stays
zero; and units of each layer but the last pass the signal on. The result is what Keras computes by skipping the padding in front.

There are two such inputs, and each weight is the sum of two: one rounded to float16, the other the rest of it. So the bias is cancelled
as well where weights are stored in float16. Large weights on the gates would do without that, but would ruin their rows in int8.
"""

from __future__ import annotations

import dataclasses

import numpy

from ..architecture import HARD_SLOPES
from .network import GATES, Layer, Network

# Before a tanh or a sigmoid: as good as infinite in float32, and small enough for every stored type.
SATURATED = 30.0
SIGNALS = 2


def with_masked_padding(network: Network, pad: int) -> Network:
    """The same network for every token but `pad`, which leaves a state of zeros as it is."""
    embedding = numpy.pad(network.embedding, ((0, 0), (0, SIGNALS)))
    embedding[pad] = 0.0
    embedding[pad, -SIGNALS:] = 1.0
    signal = 1.0
    layers = []
    for layer in network.layers:
        is_last = len(layers) == len(network.layers) - 1
        widened = _Widened.of(layer)
        widened.cancel_candidates(network, signal)
        if not is_last:
            signal = widened.add_signal_units(network.cell, signal)
        layers.append(widened.layer())
    return dataclasses.replace(network, embedding=embedding, layers=layers)


@dataclasses.dataclass
class _Widened:
    """A layer by its gates, with the signals as further inputs: `w_ih` `[in + SIGNALS]`, `w_hh` `[H]` and biases, a row for each unit."""

    gates: str
    w_ih: dict[str, numpy.ndarray]
    w_hh: dict[str, numpy.ndarray]
    b_ih: dict[str, numpy.ndarray]
    b_hh: dict[str, numpy.ndarray]

    @staticmethod
    def of(layer: Layer) -> _Widened:
        gates = GATES[layer.gate_count]
        zeros = numpy.zeros(len(layer.w_ih), numpy.float32)

        def split(rows: numpy.ndarray) -> dict[str, numpy.ndarray]:
            return dict(zip(gates, numpy.split(rows, len(gates))))

        biases = (zeros if bias is None else bias for bias in (layer.b_ih, layer.b_hh))
        return _Widened(gates, split(numpy.pad(layer.w_ih, ((0, 0), (0, SIGNALS)))), split(layer.w_hh.copy()), *map(split, biases))

    def layer(self) -> Layer:
        parts = (self.w_ih, self.w_hh, self.b_ih, self.b_hh)
        return Layer(*(numpy.concatenate([part[gate] for gate in self.gates]).astype(numpy.float32) for part in parts))

    def cancel_candidates(self, network: Network, signal: float) -> None:
        """Weights of the signals with which each unit stays at zero: its candidate is tanh(0), or relu(0)."""
        candidate = {"lstm": "g", "gru": "n"}.get(network.cell, "h")
        bias = self.b_ih[candidate] + self.b_hh[candidate]
        if network.cell == "gru" and network.gru_linear_before_reset:
            reset = gate(self.b_ih["r"] + self.b_hh["r"], HARD_SLOPES.get(network.gate_activation))
            bias = self.b_ih[candidate] + reset * self.b_hh[candidate]
        if network.cell == "rnn_sigmoid":
            bias = bias + 3 * SATURATED  # sigmoid(-90) is 0 in float32
        weight = -bias / signal
        rounded = weight.astype(numpy.float16).astype(numpy.float32)
        self.w_ih[candidate][:, -2] = rounded
        self.w_ih[candidate][:, -1] = weight - rounded

    def add_signal_units(self, cell: str, signal: float) -> float:
        """Units that are 0 unless the layer's input is padding. Returns their output for padding."""
        for gate in self.gates:
            self.w_ih[gate] = numpy.pad(self.w_ih[gate], ((0, SIGNALS), (0, 0)))
            self.w_hh[gate] = numpy.pad(self.w_hh[gate], ((0, SIGNALS), (0, SIGNALS)))
            self.b_ih[gate] = numpy.append(self.b_ih[gate], numpy.zeros(SIGNALS))
            self.b_hh[gate] = numpy.append(self.b_hh[gate], numpy.zeros(SIGNALS))
        new = slice(-SIGNALS, None)
        if cell == "lstm":
            self.b_ih["i"][new] = SATURATED
            self.b_ih["f"][new] = -SATURATED
            self.b_ih["o"][new] = SATURATED
            self.w_ih["g"][new, -2] = SATURATED / signal
            return float(numpy.tanh(1.0))
        if cell == "gru":
            self.b_ih["z"][new] = -SATURATED
            self.w_ih["n"][new, -2] = SATURATED / signal
            return 1.0
        if cell == "rnn_sigmoid":
            self.b_ih["h"][new] = -3 * SATURATED
            self.w_ih["h"][new, -2] = 6 * SATURATED / signal
            return 1.0
        self.w_ih["h"][new, -2] = (SATURATED if cell == "rnn_tanh" else 1.0) / signal
        return 1.0


def gate(x: numpy.ndarray, slope: float | None) -> numpy.ndarray:
    """How far a gate is open: the logistic function, or the hard one of this slope."""
    return 1.0 / (1.0 + numpy.exp(-x)) if slope is None else (slope * x + 0.5).clip(0.0, 1.0)
