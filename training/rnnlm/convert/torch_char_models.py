"""Character models of PyTorch that keep their characters to themselves: spro/char-rnn.pytorch, and the CharRNN of Udacity's course.

The first saves the whole module, and its characters are Python's `string.printable`. The second saves a dictionary or the whole module,
with the characters in it, and reads one-hot vectors.
"""

from __future__ import annotations

import dataclasses
import string

import numpy

from .pickles import Inert, class_name
from .source import Converted, Form, Hints, Reader, Source
from .tensors import Tensors
from .torch_models import converted, names_of
from .vocabularies import Vocabulary


def read_spro(source: Source, hints: Hints) -> Converted:
    """`encoder`, `rnn`, `decoder`, as in word_language_model."""
    found = converted(source, Tensors(source.content.tensors, SPRO.what), ("encoder", "decoder"), hints)
    if found.network.vocab_size != len(string.printable):
        return found
    note = "The characters are Python's `string.printable`, in which char-rnn.pytorch encodes text after it has stripped accents (unidecode)."
    return dataclasses.replace(found, notes=(note,), vocabulary=Vocabulary(list(string.printable)))


def read_udacity(source: Source, hints: Hints) -> Converted:
    """`lstm` over one-hot vectors, then `fc`."""
    named = dict(source.content.tensors)
    named = {name.replace("lstm.", "rnn.", 1).replace("fc.", "decoder.", 1): tensor for name, tensor in named.items()}
    columns = named["rnn.weight_ih_l0"].shape[-1]
    named["encoder.weight"] = numpy.eye(columns, dtype=numpy.float32)
    found = converted(source, Tensors(named, UDACITY.what), ("encoder", "decoder"), hints)
    note = "There is no embedding: the source reads one-hot vectors, the server an embedding that is the identity."
    return dataclasses.replace(found, notes=(note,), vocabulary=characters(source))


def characters(source: Source) -> Vocabulary | None:
    """Those that were saved with the weights."""
    value, module = source.content.value, source.content.module
    if isinstance(module, Inert):
        saved = module.get("chars")
    else:
        saved = value.get("tokens", value.get("chars")) if isinstance(value, dict) else None
    is_list = isinstance(saved, (list, tuple)) and all(isinstance(entry, str) for entry in saved)
    return Vocabulary(list(saved)) if is_list else None


def is_spro(source: Source) -> bool:
    return class_name(source.content.module) == "CharRNN" and "encoder.weight" in names_of(source)


def is_udacity(source: Source) -> bool:
    return {"lstm.weight_ih_l0", "fc.weight"} <= set(names_of(source))


SPRO = Reader("char-rnn-pytorch", "spro's char-rnn.pytorch", Form.TORCH, is_spro, read_spro)
UDACITY = Reader("udacity-char-rnn", "Udacity's CharRNN", Form.TORCH, is_udacity, read_udacity)
