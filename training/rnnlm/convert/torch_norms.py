"""Normalisations between the layers of PyTorch's checkpoints.

Neither a `state_dict` nor a module says where a normalisation stands: --norms does, by the names of the modules. Which one it is follows from
its class in a module, and in a `state_dict` from its tensors. Under the names that the server gives them, they need no option.
"""

from __future__ import annotations

from ..architecture import NORM_PARTS, Architecture
from ..errors import InputError
from .network import Norm
from .pickles import Inert, class_name
from .source import Hints
from .tensors import Tensors

CLASSES = {"LayerNorm": "layer", "BatchNorm1d": "batch"}
# PyTorch counts the batches of the training, which nothing depends on.
COUNTER = "num_batches_tracked"


def norms_of(module: object, tensors: Tensors, layer_count: int, hints: Hints) -> tuple[list[Norm | None], tuple[str, ...]]:
    """What normalises the input of each layer and of the output layer, taken out of `tensors`, and what a user should know of it."""
    places = hints.norms or tuple(f"norm.{k}" if tensors.of_module(f"norm.{k}") else "none" for k in range(layer_count + 1))
    if len(places) != layer_count + 1:
        raise InputError(f"--norms has {len(places)} entries; expected {layer_count + 1}: one for each layer and one for the output layer, or `none`")
    norms = [None if name == "none" else norm_of(name, submodule(module, name), tensors, hints) for name in places]
    if hints.norm_epsilon is not None and not any(norms):
        raise InputError("--norm-epsilon is given, but no normalisation: name its module with --norms")
    is_assumed = any(norms) and hints.norm_epsilon is None and not isinstance(module, Inert)
    note = f"The checkpoint does not say what its normalisations add to a variance: {Architecture.norm_epsilon}, PyTorch's default, is assumed; --norm-epsilon sets it."
    return norms, (note,) if is_assumed else ()


def norm_of(name: str, module: Inert | None, tensors: Tensors, hints: Hints) -> Norm:
    """The normalisation that the module of this name is; `module` is the module itself, where it was saved."""
    found = [part for part in tensors.of_module(name) if part != COUNTER]
    if not found and module is None:
        raise InputError(f"--norms names `{name}`, but no tensor `{name}.*` is left in the checkpoint")
    kind = kind_of(name, module, found)
    tensors.take_if_there(f"{name}.{COUNTER}")
    epsilon = hints.norm_epsilon
    if epsilon is None:
        epsilon = module.get("eps") if module else Architecture.norm_epsilon
    return Norm(kind, epsilon, *(tensors.take_if_there(f"{name}.{part}") for part in NORM_PARTS["batch"]))


def kind_of(name: str, module: Inert | None, found: list[str]) -> str:
    """`layer` or `batch`, by the class of the module or by the names of its tensors."""
    statistics = [part for part in found if part.startswith("running_")]
    if module is not None and class_name(module) not in CLASSES:
        raise InputError(f"`{name}` is of the class {class_name(module)}; expected {' or '.join(CLASSES)}")
    if module is None and not statistics and found != ["bias", "weight"]:
        # An RMSNorm has a weight and nothing else, too.
        raise InputError(
            f"`{name}` has the tensors {', '.join(found)}, which do not tell what normalises; expected those of LayerNorm (weight, bias) "
            "or BatchNorm1d (with running_mean and running_var). A module that was saved whole tells"
        )
    kind = CLASSES[class_name(module)] if module is not None else "batch" if statistics else "layer"
    if (kind == "batch") != (len(statistics) == 2):
        raise InputError(f"`{name}` has the tensors {', '.join(found) or 'nothing'}; expected running_mean and running_var of a BatchNorm1d, which normalises by them")
    return kind


def submodule(module: object, path: str) -> Inert | None:
    """The module at `path` in a module that was saved whole; None in a `state_dict`, or if it is not there."""
    if not isinstance(module, Inert):
        return None
    for name in path.split("."):
        # DataParallel's name for what it wraps is in no tensor's name here.
        inside = (module.get("_modules") or {}).get("module")
        module = inside if isinstance(inside, Inert) else module
        module = (module.get("_modules") or {}).get(name)
        if not isinstance(module, Inert):
            return None
    return module
