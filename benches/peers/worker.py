"""Holds one network in ONNX Runtime or PyTorch, on one thread, and measures each case that comes in as a line of JSON.

Runs: worker.py onnxruntime|pytorch MODEL_FOLDER TYPE <<<'{"rows": 8, "tokens": 1, "seconds": 1}'
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np


class OnnxRuntime:
    """A session on the file of `dtype`, states carried from run to run."""

    def __init__(self, folder: Path, dtype: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = folder / ("model.int8.onnx" if dtype == "int8" else "model.onnx")
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.states = {one.name: one.shape for one in self.session.get_inputs() if one.name != "ids"}
        self.names = ["logits", *(f"{name}_out" for name in self.states)]

    def zeros(self, rows: int):
        return [np.zeros((1, rows, shape[2]), np.float32) for shape in self.states.values()]

    def run(self, ids: np.ndarray, state):
        logits, *state = self.session.run(self.names, {"ids": ids, **dict(zip(self.states, state))})
        return logits, state


class PyTorch:
    """Eager mode; int8 by dynamic quantisation of the recurrent and the output layers."""

    def __init__(self, folder: Path, dtype: str) -> None:
        import torch

        from networks import module, read_folder

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self.torch = torch
        self.sizes, weights = read_folder(folder)
        self.network = module(self.sizes, weights)
        if dtype == "int8":
            layers = {torch.nn.LSTM, torch.nn.Linear}
            self.network = torch.ao.quantization.quantize_dynamic(self.network, layers, dtype=torch.qint8)

    def zeros(self, rows: int):
        return tuple(self.torch.zeros(self.sizes.layers, rows, self.sizes.hidden_size) for _ in range(2))

    def run(self, ids: np.ndarray, state):
        return self.network(self.torch.from_numpy(ids), state)


# A median of fewer runs says little, although a case is measured in many rounds.
RUNS_MIN = 3
ENGINES = {"onnxruntime": OnnxRuntime, "pytorch": PyTorch}


def zipf(random: np.random.Generator, vocab_size: int, shape: tuple[int, int]) -> np.ndarray:
    """Ids as frequent as the words of a text, as `rnnlm-server bench` draws them."""
    low = 2 ** random.integers(0, int(math.log2(vocab_size)) + 1, shape)
    return (low + random.integers(0, low) - 1) % vocab_size


def measure(engine, vocab_size: int, shape: tuple[int, int], seconds: float) -> dict:
    """The times of runs over ids of `shape`, `[tokens, rows]`."""
    random = np.random.default_rng(1)
    ids = [zipf(random, vocab_size, shape) for _ in range(64)]
    state = engine.zeros(shape[1])
    times: list[float] = []
    warm = False
    begun = time.perf_counter()
    while True:
        before = time.perf_counter_ns()
        _, state = engine.run(ids[len(times) % len(ids)], state)
        times.append((time.perf_counter_ns() - before) / 1e3)
        elapsed = time.perf_counter() - begun
        if not warm and elapsed >= seconds / 4:
            warm, times, begun = True, [], time.perf_counter()
        elif warm and elapsed >= seconds and len(times) >= RUNS_MIN:
            break
    return {"runs": len(times), "median_us": float(np.median(times))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("dtype", choices=["f32", "int8"])
    args = parser.parse_args()
    engine = ENGINES[args.engine](args.folder, args.dtype)
    vocab_size = json.loads((args.folder / "config.json").read_text())["architecture"]["vocab_size"]
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(measure(engine, vocab_size, (case["tokens"], case["rows"]), case["seconds"])), flush=True)


if __name__ == "__main__":
    main()
