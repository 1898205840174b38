"""The weights of a network as arrays: as they are stored, and as they come back from their file."""

from __future__ import annotations

import torch

from .model import load_stored_weights, stored_weights
from .network import Network
from .tokenizer import Tokenizer
from .weights_file import Storage, Weights, WeightsFile

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def round_weights(model: Network, storage: Storage) -> Network:
    """The network as it will be read back from its file: what is measured must be what is shipped."""
    dtype = DTYPES[storage.dtype]
    load_stored_weights(model, {name: weight.to(dtype).float() for name, weight in stored_weights(model).items()})
    return model


def weights_file(model: Network, tokenizer: Tokenizer, storage: Storage) -> WeightsFile:
    """The file of a network."""
    shape = model.architecture
    tensors = {name: weight.float().cpu().contiguous().numpy() for name, weight in stored_weights(model).items()}
    pad = tokenizer.vocabulary[shape.pad] if hasattr(shape, "pad") else None
    return Weights(shape, tensors, pad).file(storage)
