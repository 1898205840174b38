"""Small networks with the structure and the names of the programs whose checkpoints are converted."""

from __future__ import annotations

import torch
from torch import nn

WORDS = ["<eos>", "the", "sea", "a", "ship", "<unk>", "sails", "home", "he", "said", "far"]
IDS = [0, 1, 4, 6, 7, 0, 8, 9, 5, 3, 2, 10, 0, 1, 2]


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Weights as large as trained ones: with the usual initial weights, probabilities would be nearly equal."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.6, generator=generator)
    return module.eval()


class RNNModel(nn.Module):
    """The class of word_language_model."""

    def __init__(self, rnn_type: str, ntoken: int, ninp: int, nhid: int, nlayers: int, tie_weights: bool = False, proj_size: int = 0) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.encoder = nn.Embedding(ntoken, ninp)
        if rnn_type in ("LSTM", "GRU"):
            projection = {"proj_size": proj_size} if proj_size else {}
            self.rnn = getattr(nn, rnn_type)(ninp, nhid, nlayers, dropout=0.5 if nlayers > 1 else 0.0, **projection)
        else:
            self.rnn = nn.RNN(ninp, nhid, nlayers, nonlinearity=rnn_type.removeprefix("RNN_").lower(), dropout=0.5 if nlayers > 1 else 0.0)
        self.decoder = nn.Linear(proj_size or nhid, ntoken)
        if tie_weights:
            self.decoder.weight = self.encoder.weight
        self.rnn_type = rnn_type

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.rnn(self.drop(self.encoder(ids)))
        return self.decoder(self.drop(outputs))


class RnnLmModel(nn.Module):
    """The class of icefall."""

    def __init__(self, vocab_size: int, embedding_dim: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        self.input_embedding = nn.Embedding(vocab_size, embedding_dim)
        self.rnn = nn.LSTM(embedding_dim, hidden_dim, num_layers, batch_first=True)
        self.output_linear = nn.Linear(hidden_dim, vocab_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.output_linear(self.rnn(self.input_embedding(ids.T))[0]).transpose(0, 1)


class DefaultRNNLM(nn.Module):
    """The class of ESPnet1: a classifier around a predictor, with cells in a list."""

    def __init__(self, n_vocab: int, n_layers: int, n_units: int, typ: str) -> None:
        super().__init__()
        cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[typ]
        self.predictor = nn.Module()
        self.predictor.embed = nn.Embedding(n_vocab, n_units)
        self.predictor.rnn = nn.ModuleList(cell(n_units, n_units) for _ in range(n_layers))
        self.predictor.lo = nn.Linear(n_units, n_vocab)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = [None] * len(self.predictor.rnn)
        logits = []
        for token in ids:
            outputs = self.predictor.embed(token)
            for n, cell in enumerate(self.predictor.rnn):
                states[n] = cell(outputs, states[n])
                outputs = states[n][0] if isinstance(states[n], tuple) else states[n]
            logits.append(self.predictor.lo(outputs))
        return torch.stack(logits)


def probabilities(module: nn.Module, ids: list[int]) -> torch.Tensor:
    """The module's distribution after each of `ids`, `[len(ids), V]`."""
    with torch.no_grad():
        return module(torch.tensor(ids)[:, None])[:, 0].softmax(-1)
