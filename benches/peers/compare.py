"""Measures every engine on every network, in turns, so that what the machine does meanwhile meets all alike."""

import json
import os
import re
import statistics
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import networks
from networks import Sizes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BATCHES = [1, 8, 32, 128]
PROMPT_TOKENS = 64
CONNECTIONS = [1, 32]
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
SERVICES = ["rnnlm-server", "FastAPI + ONNX Runtime", "bare axum handler"]


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    work: Path
    rounds: int
    seconds: float
    # Weights of the largest network.
    largest: int = 10**12


@dataclass
class Results:
    """Medians over all rounds of the medians of each."""

    machine: dict
    versions: dict[str, str]
    plan: Plan
    # Network -> engine -> case -> microseconds of each round.
    times: dict[Sizes, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    # Service -> connections -> requests a second of each round.
    rates: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    stream: dict[str, float] = field(default_factory=dict)


class Comparison:
    """All measurements of a plan."""

    def __init__(self, plan: Plan, programs: dict[str, Path]) -> None:
        self.plan = plan
        self.program = programs["rnnlm-server"]
        self.helper = programs["peers"]
        # One core for whatever is measured; the last one, because interrupts tend to go to the first.
        self.core = max(os.sched_getaffinity(0))

    def run(self) -> Results:
        folders = {sizes: self.write(sizes) for sizes in self.networks()}
        results = Results(self.machine(), versions(), self.plan)
        for sizes, folder in folders.items():
            check_agreement(self.program, sizes, folder)
            results.times[sizes] = {engine: {} for engine in ENGINES}
        for number in range(self.plan.rounds):
            for sizes, folder in folders.items():
                # Each round begins with another engine.
                for engine in ENGINES[number % len(ENGINES) :] + ENGINES[: number % len(ENGINES)]:
                    say(f"round {number + 1} of {self.plan.rounds}: {sizes.name}, {engine}")
                    for case, median in self.measure(engine, sizes, folder).items():
                        results.times[sizes][engine].setdefault(case, []).append(median)
        self.measure_services(results, folders[networks.SYNTHETIC[0]])
        return results

    def networks(self) -> list[Sizes]:
        shipped, _ = networks.read_folder(ROOT / "models/classics")
        return [sizes for sizes in [*networks.SYNTHETIC, shipped] if sizes.multiplied <= self.plan.largest or sizes == shipped]

    def write(self, sizes: Sizes) -> Path:
        """The folder of a network, with all forms of it."""
        folder = self.plan.work / "networks" / sizes.name
        if not (folder / "model.int8.onnx").exists():
            say(f"writing {sizes.name}")
            if sizes in networks.SYNTHETIC:
                weights = networks.random_weights(sizes)
            else:
                _, weights = networks.read_folder(ROOT / "models" / sizes.name)
            networks.write_folder(folder, sizes, weights)
            networks.write_graph(folder / "model.onnx", sizes, weights)
            networks.quantise(folder / "model.onnx", folder / "model.int8.onnx")
        return folder

    def machine(self) -> dict:
        measured = self.output([self.helper, "machine", "--seconds", self.plan.seconds])
        cpuinfo = Path("/proc/cpuinfo").read_text()
        name = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
        return {**measured, "cpu": name.group(1) if name else "unknown", "cores": os.cpu_count()}

    def measure(self, engine: str, sizes: Sizes, folder: Path) -> dict[str, float]:
        """The median microseconds of each case."""
        name, dtype = engine.rsplit(" ", 1)
        batch = ",".join(map(str, BATCHES))
        seconds = self.plan.seconds
        if name == "rnnlm-server":
            common = [self.program, "bench", "--json", "--model", folder, "--weights", dtype, "--time", f"{seconds * 1e6:.0f}us"]
            steps = self.output([*common, "--work", "step", "--batch", batch])
            prompt = self.output([*common, "--work", "prompt", "--batch", 1, "--prompt-tokens", PROMPT_TOKENS])
            measurements = steps["measurements"] + prompt["measurements"]
        else:
            options = ["--batch", batch, "--prompt-tokens", PROMPT_TOKENS, "--seconds", seconds]
            if name == "tract":
                hidden = ",".join([str(sizes.hidden_size)] * sizes.layers)
                shape = ["--vocab-size", sizes.vocab_size, "--hidden-sizes", hidden]
                command = [self.helper, "tract", "--graph", folder / "model.onnx", *shape, *options]
            else:
                worker = {"ONNX Runtime": "onnxruntime", "PyTorch": "pytorch"}[name]
                command = [sys.executable, HERE / "worker.py", worker, folder, dtype, *options]
            measurements = self.output(command)["measurements"]
        return {case(one): one["median_us"] for one in measurements}

    def output(self, command: list) -> dict:
        """The JSON that a command prints, which runs on one core with one thread and no options of ours from outside."""
        command = ["taskset", "-c", self.core, *command]
        ended = subprocess.run(list(map(str, command)), env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(ended.stdout)

    def measure_services(self, results: Results, folder: Path) -> None:
        """Next-token requests over HTTP, and a stream. Server and client share the whole machine."""
        request = json.dumps({"tokens": [7], "top_k": 10})
        answer = self.plan.work / "answer.json"
        text = ["next", "--model", folder, "w7", "--top-k", 10, "--json"]
        answer.write_bytes(subprocess.run([self.program, *map(str, text)], env=clean_environment(), stdout=subprocess.PIPE, check=True).stdout)
        results.rates = {service: {count: [] for count in CONNECTIONS} for service in SERVICES}
        for number in range(self.plan.rounds):
            for service in SERVICES:
                say(f"round {number + 1} of {self.plan.rounds}: HTTP, {service}")
                with self.serving(service, folder, answer) as address:
                    for count in CONNECTIONS:
                        load = [self.helper, "load", "--address", address, "--path", "/v1/next", "--body", request]
                        load += ["--connections", count, "--seconds", self.plan.seconds]
                        ended = subprocess.run(list(map(str, load)), stdout=subprocess.PIPE, check=True)
                        results.rates[service][count].append(json.loads(ended.stdout)["requests_per_second"])
                    if service == SERVICES[0]:
                        stream = [self.helper, "stream", "--address", address, "--tokens", "2000"]
                        gap = json.loads(subprocess.run(stream, stdout=subprocess.PIPE, check=True).stdout)["gap_us"]
                        results.stream["gap"] = min(gap, results.stream.get("gap", gap))

    @contextmanager
    def serving(self, service: str, folder: Path, answer: Path):
        """Runs a service with its log in a file; its address."""
        environment = {**clean_environment(), "FOLDER": str(folder)}
        commands = {
            "rnnlm-server": [self.program, "serve", "--models", folder, "--listen", "127.0.0.1:0", "--log", "json"],
            "FastAPI + ONNX Runtime": [sys.executable, "-m", "uvicorn", "--app-dir", HERE, "--port", "0", "service:app"],
            "bare axum handler": [self.helper, "bare", "--answer", answer],
        }
        log = self.plan.work / "service.log"
        with log.open("wb") as lines:
            server = subprocess.Popen(
                list(map(str, commands[service])), env=environment, stdin=subprocess.PIPE, stdout=lines, stderr=lines
            )
        try:
            yield address_in(log, server)
        finally:
            server.terminate()
            server.wait()


def address_in(log: Path, server: subprocess.Popen) -> str:
    """The address that a service writes into its log once it listens."""
    import time

    for _ in range(3000):
        found = re.search(r"(?:listening|running) on http://([\d.]+:\d+)", log.read_text(errors="replace"))
        if found:
            return found.group(1)
        if server.poll() is not None:
            break
        time.sleep(0.01)
    raise SystemExit(f"a service did not start: {log.read_text(errors='replace')}")


def clean_environment() -> dict[str, str]:
    """This environment without options of rnnlm-server, which would change what is measured; one thread for everybody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RNNLM_")}
    return {**kept, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def case(measurement: dict) -> str:
    if measurement["work"] == "step":
        return f"step, {measurement['rows']} rows" if measurement["rows"] > 1 else "step, 1 row"
    return f"prompt of {measurement['tokens']} tokens"


def check_agreement(program: Path, sizes: Sizes, folder: Path) -> None:
    """Fails unless all compute the same network: the most likely tokens after a prompt, and their log-probabilities."""
    import numpy as np
    from worker import OnnxRuntime, PyTorch

    prompt = [3, 1, 4, 1, 5, 9, 2, 6]
    words = (folder / "vocab.txt").read_text().split("\n")
    command = [program, "next", "--model", folder, "--json", "--top-k", "5", " ".join(words[token] for token in prompt)]
    ended = subprocess.run(list(map(str, command)), env={**clean_environment(), "RNNLM_WEIGHTS": "f32"}, stdout=subprocess.PIPE, check=True)
    ours = {token["id"]: token["logprob"] for token in json.loads(ended.stdout)["distribution"]}
    for engine in (OnnxRuntime(folder, "f32"), PyTorch(folder, "f32")):
        logits, _ = engine.run(np.array(prompt, np.int64)[:, None], engine.zeros(1))
        logits = np.asarray(logits)[0].astype(np.float64)
        logprobs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        for token, logprob in ours.items():
            if abs(logprobs[token] - logprob) > 1e-3:
                name = type(engine).__name__
                raise SystemExit(f"{sizes.name}: token {token} has the logprob {logprobs[token]} in {name}, expected {logprob}")


def versions() -> dict[str, str]:
    from importlib.metadata import version

    lock = (ROOT / "Cargo.lock").read_text()
    tract = re.search(r'name = "tract-onnx"\nversion = "([^"]+)"', lock)
    found = {"ONNX Runtime": version("onnxruntime"), "PyTorch": version("torch"), "FastAPI": version("fastapi")}
    return {**found, "tract": tract.group(1) if tract else "unknown"}


def median(values: list[float]) -> float:
    return statistics.median(values)


def say(message: str) -> None:
    print(message, file=sys.stderr)
