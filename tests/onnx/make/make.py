"""Writes the ONNX fixtures: small files, what should become of each in the server, and the numbers of ONNX Runtime.

    python tests/onnx/make/make.py [FAMILY ...]         # the named families, or all but keras_exports
    python tests/onnx/make/make.py --check [NAME ...]   # makes some cases again and compares them with the committed ones

Needs training/requirements-dev.txt. The family `keras_exports` needs requirements-keras.txt instead; nothing needs both.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
from functools import cache
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import onnx
from safetensors.numpy import load_file, save_file

from case import SHAPES, Case, write
from oracle import Oracle, agree, oracle

FILES = Path(__file__).parents[1] / "files"

FAMILIES = ["by_hand", "glue", "vectors", "gates", "loops", "unrolled", "given", "layers", "extended", "pytorch", "families", "quantised", "scales", "padded", "windows"]
FAMILIES += ["refusals", "unrecognised", "fused", "batches", "checked", "hostile"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="families, or cases with --check")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.names)
    for family in arguments.names or FAMILIES:
        make(family)


def cases_of(family: str) -> list[Case]:
    cases = list(importlib.import_module(family).cases())
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise SystemExit(f"{family}: two cases have the same name: {sorted(n for n in names if names.count(n) > 1)}")
    return cases


def make(family: str) -> None:
    """Writes the folder of a family: files, `cases.json`, `oracles.safetensors`. Networks are shared by all families."""
    folder = FILES / family
    cases = cases_of(family)
    numbers = {case.name: oracle(case) for case in cases}
    shutil.rmtree(folder, ignore_errors=True)
    for case in cases:
        write(case.model, case.files, folder / f"{case.name}.onnx")
        write_network(case)
    tensors = {f"{name}/{key}": value for name, found in numbers.items() if found for key, value in found.tensors().items()}
    if tensors:
        save_file(tensors, folder / "oracles.safetensors")
    index = {"shapes": SHAPES, "cases": [entry(case) for case in cases]}
    (folder / "cases.json").write_text(json.dumps(index, indent=1) + "\n")
    print(f"{family}: {len(cases)} cases, {sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e3:.0f} kB")


# One case of every kind, for CI.
SAMPLE = ["gru-lbr0-2-layout0-bt", "lstm-opset7", "torchscript-lstm-2-opset8", "torchscript-rnn_relu-1-tb", "dynamo-gru-2-bt"]
SAMPLE += ["word-language-model-gru-2", "icefall-3", "lstm-int8-per-channel", "lstm-optimised", "cbow-5", "gru-trap-1", "lstm-bias-gelu", "lstm-residual-b4-reshaped"]
SAMPLE += ["lstm-layer-norm", "torchscript-lstm-layer-norms", "lstm-2-scan-projected", "dynamo-rnn_tanh-unrolled-tb"]


def check(names: list[str]) -> None:
    """Makes cases again and compares them with the committed ones. Bytes may differ, because exporters change."""
    for name in names or SAMPLE:
        folder = next((path.parent for path in FILES.glob(f"*/{name}.onnx")), None)
        if folder is None:
            raise SystemExit(f"{name}: no such case in {FILES}")
        case = next(case for case in load_family(folder.name) if case.name == name)
        same(f"{name}: the index", found=entry(case), expected=index_of(folder)[name])
        if not isinstance(case.model, bytes):
            committed = onnx.load(folder / f"{name}.onnx", load_external_data=False)
            same(f"{name}: the graph", found=structure(case.model), expected=structure(committed))
        numbers = oracle(case)
        for key, value in (numbers.tensors() if numbers else {}).items():
            agree(f"{name}: {key}", value, oracles_of(folder)[f"{name}/{key}"])
        print(f"{name}: as committed")


@cache
def load_family(family: str) -> list[Case]:
    return cases_of(family)


@cache
def oracles_of(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "oracles.safetensors")


def index_of(folder: Path) -> dict[str, dict]:
    index = json.loads((folder / "cases.json").read_text())
    return {case["name"]: case for case in index["cases"]}


def structure(model: onnx.ModelProto) -> dict:
    """What an exporter keeps stable: the names of inputs and outputs, and the recurrent nodes."""
    graph = model.graph
    kinds = ("RNN", "GRU", "LSTM", "DynamicQuantizeLSTM", "MatMulInteger", "DynamicQuantizeMatMul")
    nodes = [node.op_type for node in graph.node if node.op_type in kinds]
    # Old files list their weights as inputs too.
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [port.name for port in graph.input if port.name not in weights]
    return {"inputs": inputs, "outputs": [port.name for port in graph.output], "nodes": nodes}


def same(what: str, found: dict, expected: dict) -> None:
    if json.loads(json.dumps(found)) != expected:
        raise SystemExit(f"{what}: found {found}, expected {expected}")


def entry(case: Case) -> dict:
    """The entry of a case in the index, without the fields that have their default value."""
    found = {"name": case.name, "outcome": case.outcome, "oracle": case.oracle}
    found |= {"network": case.network.name} if case.network else {}
    found |= {"says": case.says} if case.says else {}
    found |= {"hints": case.hints} if case.hints else {}
    return found | ({"runtime_tolerance": case.runtime_tolerance} if case.runtime_tolerance else {})


def write_network(case: Case) -> None:
    if case.network is None or case.oracle == "none":
        return
    path = FILES / "networks" / case.network.name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(case.network.weights(), f"{path}.safetensors")
    Path(f"{path}.json").write_text(json.dumps(case.network.manifest()) + "\n")


if __name__ == "__main__":
    main()
