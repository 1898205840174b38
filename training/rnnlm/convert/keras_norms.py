"""Normalisations between the layers of a Keras model: LayerNormalization and BatchNormalization over the last axis."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import InputError
from .keras_files import KerasLayer
from .network import Norm

KINDS = {"LayerNormalization": "layer", "BatchNormalization": "batch"}
DEFAULT_EPSILON = 1e-3
# The last axis of `[batch, steps, units]`, and of `[batch, units]`.
LAST_AXES = {True: (-1, 2), False: (-1, 1)}


def taken_out(chain: list[KerasLayer]) -> tuple[list[KerasLayer], dict[str, Norm]]:
    """The other layers of a chain, and what stands before each, by its name."""
    others: list[KerasLayer] = []
    norms: dict[str, Norm] = {}
    has_steps = True
    pending: KerasLayer | None = None
    for layer in chain:
        if layer.kind in KINDS:
            if pending:
                raise InputError(f"the layer `{layer.name}` normalises what `{pending.name}` has normalised; expected at most one of them before a layer")
            check_axis(layer, has_steps)
            pending = layer
            continue
        if pending:
            norms[layer.name] = norm_of(pending)
            pending = None
        has_steps = bool(layer.config.get("return_sequences", has_steps))
        others.append(layer)
    if pending:
        raise InputError(f"the layer `{pending.name}` normalises the output; expected nothing after the output layer but a softmax")
    return others, norms


def check_axis(layer: KerasLayer, has_steps: bool) -> None:
    axis = layer.config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    if len(axes) != 1 or axes[0] not in LAST_AXES[has_steps]:
        raise InputError(f"`axis` of the {layer.kind} layer `{layer.name}` is {axis}; expected the last axis, -1")


def norm_of(layer: KerasLayer) -> Norm:
    """The normalisation of a layer. Its arrays are gamma and beta, as far as it has them, then the statistics of a batch normalisation."""
    if layer.config.get("rms_scaling"):
        raise InputError(f"the LayerNormalization layer `{layer.name}` has `rms_scaling`, which does not subtract the mean; expected a layer without it")
    kind = KINDS[layer.kind]
    names = [*parts(layer), *(("mean", "variance") if kind == "batch" else ())]
    if len(layer.arrays) != len(names) or any(array.ndim != 1 for array in layer.arrays):
        found = [tuple(array.shape) for array in layer.arrays]
        raise InputError(f"the {layer.kind} layer `{layer.name}` has the arrays {found}; expected {len(names)} vectors")
    return Norm(kind, float(layer.config.get("epsilon", DEFAULT_EPSILON)), **dict(zip(names, layer.arrays)))


def parts(layer: KerasLayer) -> Iterator[str]:
    """Which of gamma and beta the layer has, by the names of `Norm`."""
    if layer.config.get("scale", True):
        yield "weight"
    if layer.config.get("center", True):
        yield "bias"
