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
import engines  # noqa: E402
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


@pytest.mark.parametrize("engine", [engine for engine in engines.ENGINES if engine.startswith(("ONNX", "PyTorch"))])
def test_a_worker_measures_whatever_case_it_is_asked_for(folder, engine):
    command = engines.command(engine, networks.TINY, folder, Path())
    with engines.Worker(command, max(os.sched_getaffinity(0))) as worker:
        for case in [engines.Case(rows=1), engines.Case(rows=3), engines.Case(rows=1, tokens=4), engines.Case(rows=1)]:
            assert 0 < worker.measure(case, 0.01) < 1e6


def test_a_worker_that_ends_is_named():
    worker = engines.Worker(["false"], max(os.sched_getaffinity(0)))
    with pytest.raises(SystemExit, match="`taskset .* false` ended with 1"):
        worker.measure(engines.Case(rows=1), 0.01)


def test_ids_are_in_the_vocabulary_and_the_first_are_the_most_frequent():
    ids = zipf(np.random.default_rng(1), 1000, (1000, 100))
    counts = np.bincount(ids.ravel(), minlength=1000)
    assert len(counts) == 1000 and counts.min() > 0
    assert 9_000 < counts[0] < 11_500


def test_the_page_has_every_median_and_the_ratios_of_each_round():
    bound = {"read_bytes_per_second": 1e10, "fma_flops": 1e11, "tile_flops": 8e10, "int8_ops": None}
    results = compare.Results({"tract": "1"}, compare.Plan(Path(), 3, 1.0), {"cpu": "Abacus 9", "cores": 2})
    # The median of each is the number of the engine. The machine is a thousand times slower in the first round, and twice as fast in the last.
    results.times[networks.TINY] = {
        engine: {case: [1000.0 * number, float(number), 0.5 * number] for case in compare.CASES}
        for number, engine in enumerate(engines.ENGINES, 1)
    }
    results.bounds[networks.TINY] = [{**bound, "fma_flops": 1e11 / slow} for slow in (1000, 1, 0.5)]
    results.rates = {name: {1: [10.0 * number] * 3, 32: [40.0, 1.0, 50.0]} for number, name in enumerate(compare.SERVICES, 1)}
    results.gaps = [1.5, 9.0, 1.0]
    page = report.page(results)
    assert "Abacus 9" in page and "| Memory reads | 10.0 GB/s | 10.0 to 10.0 |" in page and "bytes, each" not in page
    assert "| tract f32 | 8.0 | 8.0 | 8.0 | 8.0 | 8.0 |" in page
    assert "| ONNX Runtime f32 / rnnlm-server f32 | 4.00 |" in page
    assert "| ONNX Runtime int8 / rnnlm-server int8 | 1.67 |" in page
    # 928 weights and 128 rows in a microsecond, of 100 GFLOP/s.
    assert "| f32 | 3.7 GB/s | 37% | 238 G/s | 238% |" in page
    assert "| rnnlm-server / FastAPI + ONNX Runtime | 0.50 | 1.00 |" in page
    assert "One greedy stream: 1.50 times" in page
    # Ratios are of one round, not of medians.
    ours, other = engines.ENGINES[0], "tract f32"
    results.times[networks.TINY][ours][compare.STEP] = [100.0, 1.0, 10.0]
    results.times[networks.TINY][other][compare.STEP] = [300.0, 20.0, 2.0]
    assert "| tract f32 / rnnlm-server f32 | 3.00 |" in report.page(results)
