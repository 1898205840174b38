"""Small networks with the structure and the names of the character models whose checkpoints are converted."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from keras_2 import cudnn_arrays


class CharRNN(nn.Module):
    """The class of spro/char-rnn.pytorch."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, model: str, n_layers: int) -> None:
        super().__init__()
        self.model = model
        self.input_size = input_size
        self.encoder = nn.Embedding(input_size, hidden_size)
        self.rnn = {"gru": nn.GRU, "lstm": nn.LSTM}[model](hidden_size, hidden_size, n_layers)
        self.decoder = nn.Linear(hidden_size, output_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.rnn(self.encoder(ids))
        return self.decoder(outputs)


class UdacityCharRNN(nn.Module):
    """The class of Udacity's course; it is pickled as `CharRNN`."""

    def __init__(self, tokens: tuple[str, ...], n_hidden: int, n_layers: int) -> None:
        super().__init__()
        self.chars = tokens
        self.int2char = dict(enumerate(tokens))
        self.char2int = {char: k for k, char in self.int2char.items()}
        self.lstm = nn.LSTM(len(tokens), n_hidden, n_layers, dropout=0.5, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(n_hidden, len(tokens))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        one_hot = nn.functional.one_hot(ids.T, len(self.chars)).float()
        outputs, _ = self.lstm(one_hot)
        return self.fc(self.dropout(outputs)).transpose(0, 1)


UdacityCharRNN.__qualname__ = "CharRNN"


def textgenrnn_weights(vocab_size: int, layers: int, cudnn: bool) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of textgenrnn by layer and name, with numbers as large as trained ones; with `cudnn` as a GPU leaves them."""
    numbers = np.random.default_rng(11)
    embedding_size, hidden = 5, 4
    widths = [embedding_size if k == 0 else hidden for k in range(layers)]
    weights = {"input": {}, "embedding": {"embedding/embeddings:0": numbers.normal(0, 0.7, (vocab_size, embedding_size))}}
    for k, width in enumerate(widths, 1):
        arrays = [numbers.normal(0, 0.7, shape) for shape in ((width, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,))]
        arrays = cudnn_arrays(arrays, 4) if cudnn else arrays
        weights[f"rnn_{k}"] = {f"rnn_{k}/{name}:0": array for name, array in zip(("kernel", "recurrent_kernel", "bias"), arrays)}
    wide = embedding_size + layers * hidden
    weights |= {"rnn_concat": {}, "attention": {"attention/attention_W:0": numbers.normal(0, 0.7, (wide, 1))}}
    weights["output"] = {"output/kernel:0": numbers.normal(0, 0.7, (wide, vocab_size)), "output/bias:0": numbers.normal(0, 0.7, vocab_size)}
    return weights


def textgenrnn_probabilities(weights: dict[str, dict[str, np.ndarray]], window: np.ndarray) -> np.ndarray:
    """Its equations for one window of ids, in double precision: what `model.predict` gives."""
    arrays = {layer: {name.rpartition("/")[2][:-2]: values for name, values in named.items()} for layer, named in weights.items()}
    below = arrays["embedding"]["embeddings"][window]
    seen = [below]
    for layer in sorted(name for name in arrays if name.startswith("rnn_") and name != "rnn_concat"):
        kernel, recurrent = arrays[layer]["kernel"], arrays[layer]["recurrent_kernel"]
        bias = arrays[layer]["bias"].reshape(-1, kernel.shape[1]).sum(0)
        h = c = np.zeros(len(recurrent))
        outputs = []
        for x in below:
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        below = np.array(outputs)
        seen.append(below)
    positions = np.concatenate(seen, axis=1)
    scores = (positions @ arrays["attention"]["attention_W"])[:, 0]
    shares = np.exp(scores - scores.max())
    mean = (positions * (shares / (shares.sum() + 1e-7))[:, None]).sum(0)
    logits = np.exp(mean @ arrays["output"]["kernel"] + arrays["output"]["bias"])
    return logits / logits.sum()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
