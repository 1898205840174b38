"""Weights of textgenrnn (minimaxir/textgenrnn), `.hdf5`, with the vocabulary and the configuration that it writes beside them."""

from __future__ import annotations

import json
import pathlib

import numpy

from ..errors import InputError
from .keras_models import ORDERS, out_of_cudnn
from .network import Layer, Network, in_order
from .source import Converted, Form, Hints, Reader, Source
from .textgenrnn_network import AttentionNetwork
from .windows import Reading

WHAT = "textgenrnn"
USUAL_LENGTH = 40  # of its windows, where no configuration says otherwise


def read(source: Source, _: Hints) -> Converted:
    """The network of the layers `embedding`, `rnn_1`, `rnn_2`, ..., `attention` and `output`."""
    found = {name: arrays for name, arrays in source.content.items() if arrays}
    layers = [name for name in (f"rnn_{number}" for number in range(1, len(found) + 1)) if name in found]
    if found.keys() != {"embedding", *layers, "attention", "output"}:
        raise InputError(
            f"`{source.path}` holds weights alone, of the layers {', '.join(found) or 'none'}: save the whole model with `model.save`; "
            f"only those of {WHAT} are recognised without their model"
        )
    if any("/forward_" in weight for name in layers for weight in found[name]):
        raise InputError(f"`{source.path}` has bidirectional layers, which also read a text from its end; the server reads forward only")
    output = array(found, "output", "kernel").T
    recurrent = Network("lstm", array(found, "embedding", "embeddings"), [layer_of(found, name) for name in layers], output, array(found, "output", "bias"))
    config = configuration(source.path)
    reading = Reading(length=int(config.get("max_length", USUAL_LENGTH)), only_last=True)
    return Converted(AttentionNetwork(recurrent, array(found, "attention", "attention_W").reshape(-1)), reading=reading)


def layer_of(found: dict[str, dict[str, numpy.ndarray]], name: str) -> Layer:
    """Gates i, f, c, o. A layer trained on a GPU (CuDNNLSTM) has two biases, by which it is known, and another layout of its matrices."""
    matrices = [array(found, name, part) for part in ("kernel", "recurrent_kernel")]
    bias = array(found, name, "bias")
    count = len(bias) // max(matrices[1].shape[1], 1)
    if count == 2:
        matrices = [out_of_cudnn(matrix, len(ORDERS["LSTM"])) for matrix in matrices]
    biases = numpy.array_split(bias, max(count, 1))
    return Layer(*(in_order(part, ORDERS["LSTM"]) for part in (*(matrix.T for matrix in matrices), *biases)))


def array(found: dict[str, dict[str, numpy.ndarray]], layer: str, name: str) -> numpy.ndarray:
    """One array of a layer; names end in `kernel:0`."""
    for path, values in found[layer].items():
        if path.rpartition("/")[2].removesuffix(":0") == name:
            return values
    raise InputError(f"the layer `{layer}` has no `{name}`, which {WHAT} has; found {', '.join(found[layer])}")


def configuration(weights: pathlib.Path) -> dict[str, object]:
    """What textgenrnn wrote of the model, if it lies beside the weights."""
    path = beside(weights, "config")
    if path is None:
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"`{path}` cannot be read as JSON: {error}") from error
    return values if isinstance(values, dict) else {}


def beside(weights: pathlib.Path, what: str) -> pathlib.Path | None:
    """`NAME_weights.hdf5` lies beside `NAME_vocab.json` and `NAME_config.json`."""
    path = weights.with_name(weights.name.partition("_weights")[0] + f"_{what}.json")
    return path if path.is_file() else None


READER = Reader("textgenrnn", WHAT, Form.KERAS_WEIGHTS, lambda source: True, read, lambda source: beside(source.path, "vocab"))
