"""The engines of the comparison: for each, a process that holds one network and measures the cases that it is asked for."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from networks import Sizes

HERE = Path(__file__).resolve().parent
# Engines in the order of the tables, each with the type of its weights.
ENGINES = [
    "rnnlm-server f32",
    "rnnlm-server bf16",
    "rnnlm-server int8",
    "ONNX Runtime f32",
    "ONNX Runtime int8",
    "PyTorch f32",
    "PyTorch int8",
    "tract f32",
]
# What `serve` and `bench` set for themselves as they start, so that freed memory goes back to the system.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "131072"}


@dataclass(frozen=True)
class Case:
    """Each of `rows` rows reads `tokens` tokens, and the logits after the last one are computed."""

    rows: int
    tokens: int = 1

    @property
    def name(self) -> str:
        if self.tokens > 1:
            return f"prompt of {self.tokens} tokens"
        return f"step, {self.rows} rows" if self.rows > 1 else "step, 1 row"


def command(engine: str, sizes: Sizes, folder: Path, helper: Path) -> list:
    """What runs an engine on the network in `folder`."""
    name, dtype = engine.rsplit(" ", 1)
    match name:
        case "rnnlm-server":
            return [helper, "ours", "--model", folder, "--weights", dtype]
        case "tract":
            hidden = ",".join([str(sizes.hidden_size)] * sizes.layers)
            return [helper, "tract", "--graph", folder / "model.onnx", "--vocab-size", sizes.vocab_size, "--hidden-sizes", hidden]
    return [sys.executable, HERE / "worker.py", {"ONNX Runtime": "onnxruntime", "PyTorch": "pytorch"}[name], folder, dtype]


class Worker:
    """The process of an engine, on one core with one thread. It sleeps while it is asked for nothing."""

    def __init__(self, command: list, core: int) -> None:
        self.command = [str(part) for part in ["taskset", "-c", core, *command]]
        environment = {**clean_environment(), **ALLOCATOR}
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def measure(self, case: Case, seconds: float) -> float:
        """The median microseconds of the runs of `case` in `seconds`."""
        print(json.dumps({"rows": case.rows, "tokens": case.tokens, "seconds": seconds}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"`{' '.join(self.command)}` ended with {self.process.wait()}, expected the time of {case}")
        return json.loads(answer)["median_us"]


def clean_environment() -> dict[str, str]:
    """This environment without options of rnnlm-server, which would change what is measured; one thread for everybody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RNNLM_")}
    return {**kept, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
