"""Recurrent layers. Those that PyTorch lacks are written out here, with its names for their parameters and its order of gates."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

from .architecture import HARD_SLOPES, Architecture

# The state of one layer: h `[1, batch, hidden]`, for an LSTM the pair (h, c).
LayerState = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
Gate = Callable[[torch.Tensor], torch.Tensor]


class WrittenOut(nn.Module):
    """A layer that steps in Python: slower than PyTorch's own, for weights that came from elsewhere."""

    gate_count: int

    def __init__(self, input_size: int, hidden_size: int, gate: Gate = torch.sigmoid) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.gate = gate
        rows = self.gate_count * hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, inputs: torch.Tensor, before: LayerState) -> tuple[torch.Tensor, LayerState]:
        """Outputs `[steps, batch, hidden]` of `inputs` `[steps, batch, in]`, and the state after them."""
        is_pair = isinstance(before, tuple)
        state = tuple(part[0] for part in (before if is_pair else (before,)))
        outputs = []
        for from_input in nn.functional.linear(inputs, self.weight_ih_l0, self.bias_ih_l0):
            state = self.step(from_input, *state)
            outputs.append(state[0])
        after = tuple(part[None] for part in state)
        return torch.stack(outputs), after if is_pair else after[0]

    def step(self, from_input: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The state `[batch, hidden]` after one token, of which `from_input` is the product with the input weights; h comes first."""
        raise NotImplementedError

    def from_state(self, hidden: torch.Tensor) -> torch.Tensor:
        """The product of h with the recurrent weights of all gates."""
        return nn.functional.linear(hidden, self.weight_hh_l0, self.bias_hh_l0)


class SigmoidRnn(WrittenOut):
    """The plain layer of older toolkits, with the logistic function as its activation."""

    gate_count = 1

    def step(self, from_input: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        """h' = sigmoid(W x + U h + b)."""
        return (torch.sigmoid(from_input + self.from_state(hidden)),)


class ResetBeforeGru(WrittenOut):
    """The GRU of Cho et al. 2014: its reset gate acts on the state before the product. PyTorch's acts on the product."""

    gate_count = 3

    def step(self, from_input: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        """n = tanh(W x + U (r h) + b); h' = (1 - z) n + z h."""
        size = 2 * self.hidden_size
        gates = self.gate(from_input[:, :size] + nn.functional.linear(hidden, self.weight_hh_l0[:size], self.bias_hh_l0[:size]))
        reset, update = gates.chunk(2, dim=1)
        new = torch.tanh(from_input[:, size:] + nn.functional.linear(reset * hidden, self.weight_hh_l0[size:], self.bias_hh_l0[size:]))
        return ((1 - update) * new + update * hidden,)


class ResetAfterGru(WrittenOut):
    """PyTorch's GRU, with another function of its gates."""

    gate_count = 3

    def step(self, from_input: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        """n = tanh(W x + b + r (U h + c)); h' = (1 - z) n + z h."""
        size = 2 * self.hidden_size
        from_state = self.from_state(hidden)
        reset, update = self.gate(from_input[:, :size] + from_state[:, :size]).chunk(2, dim=1)
        new = torch.tanh(from_input[:, size:] + reset * from_state[:, size:])
        return ((1 - update) * new + update * hidden,)


class WrittenLstm(WrittenOut):
    """PyTorch's LSTM, with another function of its gates."""

    gate_count = 4

    def step(self, from_input: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """c' = f c + i g; h' = o tanh(c')."""
        i, f, g, o = (from_input + self.from_state(hidden)).chunk(4, dim=1)
        cell = self.gate(f) * cell + self.gate(i) * torch.tanh(g)
        return self.gate(o) * torch.tanh(cell), cell


def hard_sigmoid(x: torch.Tensor, slope: float) -> torch.Tensor:
    """min(max(slope x + 0.5, 0), 1)."""
    return (slope * x + 0.5).clamp(0.0, 1.0)


LAYERS = {
    "rnn_tanh": functools.partial(nn.RNN, nonlinearity="tanh"),
    "rnn_relu": functools.partial(nn.RNN, nonlinearity="relu"),
    "rnn_sigmoid": SigmoidRnn,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


def layer(architecture: Architecture) -> Callable[[int, int], nn.Module]:
    """What makes a layer of an architecture from its input and hidden sizes."""
    cell, slope = architecture.cell, HARD_SLOPES.get(architecture.gate_activation)
    resets_before = cell == "gru" and not architecture.gru_linear_before_reset
    if slope is None:
        return ResetBeforeGru if resets_before else LAYERS[cell]
    written_out = ResetBeforeGru if resets_before else {"gru": ResetAfterGru, "lstm": WrittenLstm}[cell]
    return functools.partial(written_out, gate=functools.partial(hard_sigmoid, slope=slope))
