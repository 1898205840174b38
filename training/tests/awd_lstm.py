"""A small AWD-LSTM: classes with the names that its checkpoints hold."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from torch_sources import IDS


class WeightDrop(nn.Module):
    """Replaces the parameter of a weight by a raw one, from which the weight is computed anew on each call."""

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module = module
        self.name = name
        weight = module._parameters.pop(name)
        module.register_parameter(name + "_raw", nn.Parameter(weight.data))
        # A bound method, which a pickle holds as a call of `getattr`.
        module.flatten_parameters = self.nothing

    def nothing(self) -> None:
        pass

    def forward(self, *arguments: object) -> object:
        raw = getattr(self.module, self.name + "_raw")
        setattr(self.module, self.name, nn.functional.dropout(raw, 0.5, self.training))
        return self.module(*arguments)


class LockedDropout(nn.Module):
    """Without parameters; only its name matters."""


class SplitCrossEntropyLoss(nn.Module):
    """The criterion that is saved beside the model, with its `splits`."""

    def __init__(self, splits: list[int]) -> None:
        super().__init__()
        self.splits = [0, *splits, 100 * 1000000]


class RNNModel(nn.Module):
    """The last layer is as wide as the embedding, which is also the weight of the output layer."""

    def __init__(self, ntoken: int, ninp: int, nhid: int, nlayers: int) -> None:
        super().__init__()
        self.lockdrop = LockedDropout()
        self.encoder = nn.Embedding(ntoken, ninp)
        sizes = [ninp, *[nhid] * (nlayers - 1), ninp]
        self.rnns = nn.ModuleList(WeightDrop(nn.LSTM(*pair), "weight_hh_l0") for pair in zip(sizes, sizes[1:]))
        self.decoder = nn.Linear(ninp, ntoken)
        self.decoder.weight = self.encoder.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        outputs = self.encoder(ids)
        for rnn in self.rnns:
            outputs, _ = rnn(outputs)
        return self.decoder(outputs)


class Dictionary:
    """The class of data.py."""

    def __init__(self, words: list[str]) -> None:
        self.word2idx = {word: k for k, word in enumerate(words)}
        self.idx2word = words
        self.counter = Counter(words)


class Corpus:
    """What the program caches of a text."""

    def __init__(self, words: list[str]) -> None:
        self.dictionary = Dictionary(words)
        self.train = torch.tensor(IDS)
