"""Files as Keras 2 wrote them, made from those of Keras 3: with the version, the activations and the layers that only it has."""

from __future__ import annotations

import json
import pathlib

import h5py
import numpy as np


def as_keras_2(path: pathlib.Path, config: dict[str, object], version: str = "2.2.4") -> None:
    """Sets the version of an `.h5` file, and these keys in the configuration of every recurrent layer."""
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        for layer in model["config"]["layers"]:
            if layer["class_name"] in ("LSTM", "GRU"):
                layer["config"] |= config
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = version


def as_cudnn(path: pathlib.Path) -> None:
    """Turns the LSTM and GRU layers of an `.h5` file into those that Keras 2 runs on a GPU alone."""
    as_keras_2(path, {})
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        for layer in model["config"]["layers"]:
            gates = {"LSTM": 4, "GRU": 3}.get(layer["class_name"])
            if gates is None:
                continue
            layer["class_name"] = f"CuDNN{layer['class_name']}"
            for key in ("activation", "recurrent_activation", "reset_after"):
                layer["config"].pop(key, None)
            group = file["model_weights"][layer["config"]["name"]]
            names = list(group.attrs["weight_names"])
            arrays = cudnn_arrays([group[name][()] for name in names], gates)
            for name, array in zip(names, arrays, strict=True):
                del group[name]
                group[name] = array
        file.attrs["model_config"] = json.dumps(model)


def cudnn_arrays(arrays: list[np.ndarray], gates: int) -> list[np.ndarray]:
    """Kernel `[in, G*H]`, recurrent kernel `[H, G*H]` and bias of a layer as its CuDNN counterpart stores them.

    cuDNN reads the memory of each gate's kernel as `[H, in]`, row by row; Keras stores that memory under the shape `[in, H]`. There are
    two biases: those of a GRU one after the other, and two whose sum counts of an LSTM.
    """
    kernel, recurrent, bias = arrays
    memory = [np.concatenate([gate.T.ravel() for gate in np.split(matrix, gates, axis=1)]) for matrix in (kernel, recurrent)]
    stored = []
    for matrix, numbers in zip((kernel, recurrent), memory):
        shape = (matrix.shape[0], matrix.shape[1] // gates)
        stored.append(np.concatenate([gate.reshape(shape) for gate in np.split(numbers, gates)], axis=1))
    if bias.ndim == 2:
        return [*stored, bias.ravel()]
    share = np.random.default_rng(8).normal(0, 0.5, bias.shape)
    return [*stored, np.concatenate([bias - share, share])]
