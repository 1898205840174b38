"""Models that Keras saved, read without Keras: `.keras` (a zip archive) and `.h5`. Returns layers and arrays; knows no network.

Both hold the configuration as JSON. An `.h5` lists the arrays of each layer under its name. A `.keras` file has them under a name made
of the layer's class and the number of layers of that class before it, whatever the layer is called.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import h5py
import numpy

from ..errors import InputError

T = TypeVar("T")

# The group that holds the layers of an archive.
ROOT = "layers"


@dataclasses.dataclass(frozen=True)
class KerasLayer:
    """One layer: its class, its configuration, its arrays in the order that its class defines, the layers that it reads."""

    kind: str
    name: str
    config: dict[str, object]
    arrays: list[numpy.ndarray]
    inputs: list[str] | None  # None in a Sequential: the layer before


@dataclasses.dataclass(frozen=True)
class KerasModel:
    """The layers in their order, and the major version of the Keras that saved them."""

    version: int
    layers: list[KerasLayer]


def read_archive(path: pathlib.Path) -> KerasModel:
    """A `.keras` file."""
    return guarded(path, lambda: _read_archive(path))


def read_hdf5(path: pathlib.Path) -> KerasModel:
    """An `.h5` file."""
    return guarded(path, lambda: _read_hdf5(path))


def read_weights(path: pathlib.Path) -> dict[str, dict[str, numpy.ndarray]] | None:
    """The arrays of an `.h5` file that holds weights alone, as Keras 2 writes it, by layer and by name; None for any other file."""
    return guarded(path, lambda: _read_weights(path))


def guarded(path: pathlib.Path, load: Callable[[], T]) -> T:
    """The result of `load`. A damaged file may raise anything."""
    try:
        return load()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"`{path}` cannot be read as a Keras model: {type(error).__name__}: {error}") from error


def _read_archive(path: pathlib.Path) -> KerasModel:
    with zipfile.ZipFile(path) as archive:
        model = json.loads(archive.read("config.json"))
        metadata = json.loads(archive.read("metadata.json"))
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    if ROOT not in file:
        raise InputError(f"`{path}` has no group `{ROOT}` among its weights; found {', '.join(file)}: save it again with Keras 3")
    counts: Counter[str] = Counter()

    def arrays(kind: str, _: str) -> list[numpy.ndarray]:
        name = snake_case(kind)
        group = file[ROOT].get(f"{name}_{counts[name]}" if counts[name] else name)
        counts[name] += 1
        return group_arrays(group) if group is not None else []

    return KerasModel(major(metadata["keras_version"]), layers(path, model, arrays))


def _read_hdf5(path: pathlib.Path) -> KerasModel:
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise InputError(f"`{path}` holds weights alone; expected a whole model: save it with `model.save`")

        def arrays(_: str, name: str) -> list[numpy.ndarray]:
            group = file["model_weights"].get(name)
            return [array(group[text(weight)]) for weight in group.attrs["weight_names"]] if group is not None else []

        # Files of the first versions do not name theirs; Keras 3 does.
        version = text(file.attrs.get("keras_version", "1"))
        return KerasModel(major(version), layers(path, json.loads(text(file.attrs["model_config"])), arrays))


def _read_weights(path: pathlib.Path) -> dict[str, dict[str, numpy.ndarray]] | None:
    with h5py.File(path) as file:
        if "model_config" in file.attrs or "layer_names" not in file.attrs:
            return None
        names = map(text, file.attrs["layer_names"])
        return {layer: {text(weight): array(file[layer][weight]) for weight in file[layer].attrs["weight_names"]} for layer in names}


def layers(path: pathlib.Path, model: dict[str, object], arrays: Callable[[str, str], list[numpy.ndarray]]) -> list[KerasLayer]:
    """The layers of a configuration, in its order, with their arrays."""
    if model["class_name"] not in ("Sequential", "Functional", "Model"):
        raise InputError(f"`{path}` is a model of the class `{model['class_name']}`; expected `Sequential` or `Functional`")
    config = model["config"]
    # Keras 2.0 and 2.1 wrote the list alone.
    described = config["layers"] if isinstance(config, dict) else config
    found = []
    for layer in described:
        kind, name = layer["class_name"], layer["config"]["name"]
        inputs = None if model["class_name"] == "Sequential" else sorted(histories(layer.get("inbound_nodes")))
        found.append(KerasLayer(kind, name, layer["config"], arrays(kind, name), inputs))
    return found


def histories(nodes: object) -> set[str]:
    """The names of the layers that `inbound_nodes` reads: `keras_history` in Keras 3, `[name, node, tensor, ...]` before."""
    match nodes:
        case {"keras_history": [str(name), *_]}:
            return {name}
        case [str(name), int(), int(), *_]:
            return {name}
        case dict():
            return set().union(*map(histories, nodes.values()))
        case list():
            return set().union(*map(histories, nodes))
    return set()


def group_arrays(group: h5py.Group) -> list[numpy.ndarray]:
    """`vars/0`, `vars/1`, ... of a layer or of the layer inside it: the cell of a recurrent layer, the layer that TimeDistributed applies."""
    for place in (group, group.get("cell"), group.get("layer")):
        if place is not None and "vars" in place and len(place["vars"]):
            return [array(place["vars"][str(k)]) for k in range(len(place["vars"]))]
    return []


def array(dataset: h5py.Dataset) -> numpy.ndarray:
    return numpy.asarray(dataset[()], numpy.float32)


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def major(version: str) -> int:
    """`2.2.4-tf` -> 2."""
    return int(version.partition(".")[0])


def snake_case(kind: str) -> str:
    """`SimpleRNN` -> `simple_rnn`, as Keras does it."""
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
