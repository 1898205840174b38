"""The comparison in small: all engines compute the same network, every part measures, and the page has every figure.

Runs with the packages of training/requirements-dev.txt; the program must be built, or PEERS_PROGRAM name it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PEERS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PEERS))

import compare  # noqa: E402
import networks  # noqa: E402
import report  # noqa: E402
from worker import zipf  # noqa: E402

PROGRAM = Path(os.environ.get("PEERS_PROGRAM", compare.ROOT / "target/release/rnnlm-server"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks") / networks.TINY.name
    weights = networks.random_weights(networks.TINY)
    networks.write_folder(folder, networks.TINY, weights)
    networks.write_graph(folder / "model.onnx", networks.TINY, weights)
    networks.quantise(folder / "model.onnx", folder / "model.int8.onnx")
    return folder


def test_all_engines_compute_the_same_network(folder):
    compare.check_agreement(PROGRAM, networks.TINY, folder)


def test_other_weights_are_noticed(folder, tmp_path):
    weights = networks.random_weights(networks.TINY)
    weights["rnn.weight_hh_l1"] = -weights["rnn.weight_hh_l1"]
    networks.write_folder(tmp_path, networks.TINY, weights)
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(SystemExit, match="logprob"):
        compare.check_agreement(PROGRAM, networks.TINY, tmp_path)


@pytest.mark.parametrize("engine", ["onnxruntime", "pytorch"])
@pytest.mark.parametrize("dtype", ["f32", "int8"])
def test_a_worker_measures_every_case(folder, engine, dtype):
    command = [sys.executable, PEERS / "worker.py", engine, folder, dtype, "--batch", "1,3", "--prompt-tokens", "4", "--seconds", "0.01"]
    printed = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    cases = [(one["work"], one["rows"], one["tokens"]) for one in printed["measurements"]]
    assert cases == [("step", 1, 1), ("step", 3, 1), ("prompt", 1, 4)]
    for one in printed["measurements"]:
        assert one["runs"] >= 5
        assert 0 < one["p10_us"] <= one["median_us"] <= one["p90_us"]


def test_ids_are_in_the_vocabulary_and_the_first_are_the_most_frequent():
    ids = zipf(np.random.default_rng(1), 1000, (1000, 100))
    counts = np.bincount(ids.ravel(), minlength=1000)
    assert len(counts) == 1000 and counts.min() > 0
    assert 9_000 < counts[0] < 11_500


def test_the_page_has_every_median_and_ratio():
    cases = ["step, 1 row", "step, 8 rows", "step, 32 rows", "step, 128 rows", "prompt of 64 tokens"]
    machine = {"read_bytes_per_second": 1e10, "fma_flops": 1e11, "tile_flops": 8e10, "int8_ops": None, "cpu": "Abacus 9", "cores": 2}
    results = compare.Results(machine, {"tract": "1"}, compare.Plan(Path(), 3, 1.0))
    # The median of each is the number of the engine.
    results.times[networks.TINY] = {
        engine: {name: [1000.0, float(number), 0.5] for name in cases} for number, engine in enumerate(compare.ENGINES, 1)
    }
    results.rates = {name: {1: [10.0 * number], 32: [40.0]} for number, name in enumerate(compare.SERVICES, 1)}
    results.stream = {"gap": 1.5}
    page = report.page(results)
    assert "Abacus 9" in page and "| Memory read | 10.0 GB/s |" in page and "bytes, each" not in page
    assert "| tract f32 | 8.0 | 8.0 | 8.0 | 8.0 | 8.0 |" in page
    assert "| ONNX Runtime f32 / rnnlm-server f32 | 4.00 |" in page
    assert "| ONNX Runtime int8 / rnnlm-server int8 | 1.67 |" in page
    assert "| rnnlm-server / FastAPI + ONNX Runtime | 0.50 | 1.00 |" in page
    assert "1.5 us from token to token, 1.50 times" in page
