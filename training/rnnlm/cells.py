"""Recurrent layers. Those that PyTorch lacks are written out here, with its names for their parameters and its order of gates."""

from __future__ import annotations

import functools

import torch
from torch import nn


class WrittenOut(nn.Module):
    """A layer that steps in Python: slower than PyTorch's own, for weights that came from elsewhere."""

    gate_count: int

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        rows = self.gate_count * hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, inputs: torch.Tensor, before: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs `[steps, batch, hidden]` of `inputs` `[steps, batch, in]`, and the state `[1, batch, hidden]` after them."""
        hidden = before[0]
        outputs = []
        for from_input in nn.functional.linear(inputs, self.weight_ih_l0, self.bias_ih_l0):
            hidden = self.step(from_input, hidden)
            outputs.append(hidden)
        return torch.stack(outputs), hidden[None]

    def step(self, from_input: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """The state after one token, of which `from_input` is the product with the input weights."""
        raise NotImplementedError


class SigmoidRnn(WrittenOut):
    """The plain layer of older toolkits, with the logistic function as its activation."""

    gate_count = 1

    def step(self, from_input: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """h' = sigmoid(W x + U h + b)."""
        return torch.sigmoid(from_input + nn.functional.linear(hidden, self.weight_hh_l0, self.bias_hh_l0))


class ResetBeforeGru(WrittenOut):
    """The GRU of Cho et al. 2014: its reset gate acts on the state before the product. PyTorch's acts on the product."""

    gate_count = 3

    def step(self, from_input: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """n = tanh(W x + U (r h) + b); h' = (1 - z) n + z h."""
        size = 2 * self.hidden_size
        gates = torch.sigmoid(from_input[:, :size] + nn.functional.linear(hidden, self.weight_hh_l0[:size], self.bias_hh_l0[:size]))
        reset, update = gates.chunk(2, dim=1)
        new = torch.tanh(from_input[:, size:] + nn.functional.linear(reset * hidden, self.weight_hh_l0[size:], self.bias_hh_l0[size:]))
        return (1 - update) * new + update * hidden


LAYERS = {
    "rnn_tanh": functools.partial(nn.RNN, nonlinearity="tanh"),
    "rnn_relu": functools.partial(nn.RNN, nonlinearity="relu"),
    "rnn_sigmoid": SigmoidRnn,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


def layer(cell: str, linear_before_reset: bool):
    """What makes a layer of this cell from its input and hidden sizes; the form counts for a GRU alone."""
    return ResetBeforeGru if cell == "gru" and not linear_before_reset else LAYERS[cell]
