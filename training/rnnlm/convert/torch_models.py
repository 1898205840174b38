"""Checkpoints of PyTorch: word_language_model, AWD-LSTM, icefall's RnnLmModel, ESPnet's SequentialRNNLM and DefaultRNNLM.

Gates are in the server's order already; the differences are in the names, and in where the weights of a dropped connection are kept.
Character models are in `torch_char_models`, what may stand between layers in `torch_norms`, initial states in `torch_starts`.
"""

from __future__ import annotations

import dataclasses
import re

from ..errors import InputError
from . import torch_norms, torch_starts
from .network import Layer, Network, cell_of
from .pickles import class_name
from .source import Converted, Form, Hints, Reader, Source
from .tensors import Tensors

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


def read_word_language_model(source: Source, hints: Hints) -> Converted:
    """`encoder`, one module `rnn` with all layers, `decoder`: the server's own names."""
    return converted(source, Tensors(source.content.tensors, WORD_LANGUAGE_MODEL.what), ("encoder", "decoder"), hints)


def read_icefall(source: Source, hints: Hints) -> Converted:
    """The network of word_language_model, under other names."""
    return converted(source, Tensors(source.content.tensors, ICEFALL.what), ("input_embedding", "output_linear"), hints)


def read_espnet(source: Source, hints: Hints) -> Converted:
    """SequentialRNNLM, whose names in a checkpoint begin with `lm.`; or ESPnet1's DefaultRNNLM, whose layers are cells in a list."""
    named = {re.sub(r"^(lm|model)\.", "", name): tensor for name, tensor in source.content.tensors.items()}
    names = ("encoder", "decoder")
    if any(name.startswith("predictor.") for name in named):
        named = {re.sub(r"^predictor\.rnn\.(\d+)\.(\w+)$", r"rnn.\2_l\1", name).removeprefix("predictor."): tensor for name, tensor in named.items()}
        names = ("embed", "lo")
    return converted(source, Tensors(named, ESPNET.what), names, hints)


def read_awd_lstm(source: Source, hints: Hints) -> Converted:
    """Layers in a list, each of its own size. Where training drops connections, the complete weights are named `_raw`."""
    named = dict(source.content.tensors)
    for name in [name for name in named if name.endswith("_raw")]:
        named[name.removesuffix("_raw")] = named.pop(name)
    named = {re.sub(r"^rnns\.(\d+)\.(?:module\.)?(\w+)_l0$", r"rnn.\2_l\1", name): tensor for name, tensor in named.items()}
    refuse_split_softmax(source)
    return converted(source, Tensors(named, AWD_LSTM.what), ("encoder", "decoder"), hints)


def refuse_split_softmax(source: Source) -> None:
    """Above 75,000 words AWD-LSTM splits the softmax; its other weights are not in the decoder."""
    saved = source.content.value
    for part in saved if isinstance(saved, (list, tuple)) else ():
        splits = part.get("splits") if class_name(part) == "SplitCrossEntropyLoss" else None
        if isinstance(splits, list) and len(splits) > 2:
            raise InputError(f"`{source.path}` was trained with a softmax split at {splits[1:-1]}; expected one softmax over the vocabulary")


def converted(source: Source, tensors: Tensors, ends: tuple[str, str], hints: Hints) -> Converted:
    """The network between an embedding and an output of these names, its layers `rnn.*_l0`, `rnn.*_l1`, ..."""
    embedding, output = ends
    layers = []
    while f"rnn.weight_hh_l{len(layers)}" in tensors:
        k = len(layers)
        weights = [tensors.take(f"rnn.{part}_l{k}") for part in PARTS[:2]]
        layers.append(Layer(*weights, *(tensors.take_if_there(f"rnn.{part}_l{k}") for part in PARTS[2:])))
    network = {
        "embedding": tensors.take(f"{embedding}.weight"),
        "output": tensors.take(f"{output}.weight"),
        "output_bias": tensors.take_if_there(f"{output}.bias"),
    }
    mode = source.content.mode
    cell = cell_of(layers, mode.lower() if mode in ("RNN_TANH", "RNN_RELU") else hints.cell)
    layers, notes = torch_starts.with_start(layers, cell, tensors, hints.start)
    norms, of_norms = torch_norms.norms_of(source.content.module, tensors, len(layers), hints)
    tensors.finish()
    layers = [dataclasses.replace(layer, norm=norm) for layer, norm in zip(layers, norms)]
    return Converted(Network(cell, layers=layers, output_norm=norms[-1], **network), notes + of_norms)


def names_of(source: Source) -> list[str]:
    return list(source.content.tensors)


def is_awd_lstm(source: Source) -> bool:
    return any(name.startswith("rnns.") for name in names_of(source))


def is_icefall(source: Source) -> bool:
    return any(name.startswith("input_embedding.") for name in names_of(source))


def is_espnet(source: Source) -> bool:
    return any(name.startswith(("lm.", "predictor.", "model.predictor.")) for name in names_of(source))


AWD_LSTM = Reader("awd-lstm", "AWD-LSTM", Form.TORCH, is_awd_lstm, read_awd_lstm)
ICEFALL = Reader("icefall", "icefall's RnnLmModel", Form.TORCH, is_icefall, read_icefall)
ESPNET = Reader("espnet", "ESPnet's RNN language model", Form.TORCH, is_espnet, read_espnet)
# The last of its form: it takes what no other reader recognises, and names the tensors that are not its own.
WORD_LANGUAGE_MODEL = Reader("word-language-model", "PyTorch's word_language_model", Form.TORCH, lambda source: True, read_word_language_model)
