"""Measures every engine on every network, in turns, so that what the machine does meanwhile meets all alike."""

import json
import os
import re
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import networks
from engines import ENGINES, HERE, Case, Worker, clean_environment, command
from networks import Sizes

ROOT = HERE.parents[1]
STEP = Case(rows=1)
BATCH = Case(rows=128)
CASES = [STEP, Case(rows=8), Case(rows=32), BATCH, Case(rows=1, tokens=64)]
CONNECTIONS = [1, 32]
# A load of 32 connections takes a while to be steady.
LOAD_TIMES = 4
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
    """What was measured in each round."""

    versions: dict[str, str]
    plan: Plan
    machine: dict
    # Network -> engine -> case -> microseconds.
    times: dict[Sizes, dict[str, dict[Case, list[float]]]] = field(default_factory=dict)
    # Network -> what one core reaches in simple loops, beside the measurements of that network.
    bounds: dict[Sizes, list[dict]] = field(default_factory=dict)
    # Service -> connections -> requests a second.
    rates: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    # The time from token to token of a stream, in steps of one row.
    gaps: list[float] = field(default_factory=list)


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
        results = Results(versions(), self.plan, machine())
        for sizes, folder in folders.items():
            check_agreement(self.program, sizes, folder)
            self.measure(results, sizes, folder)
        self.measure_services(results, networks.SYNTHETIC[0], folders[networks.SYNTHETIC[0]])
        return results

    def measure(self, results: Results, sizes: Sizes, folder: Path) -> None:
        """All engines hold the network at once and measure each case right after one another, so that a slow moment of the machine
        meets all alike."""
        times = results.times[sizes] = {engine: {case: [] for case in CASES} for engine in ENGINES}
        bounds = results.bounds[sizes] = []
        with ExitStack() as stack:
            workers = {engine: stack.enter_context(self.worker(engine, sizes, folder)) for engine in ENGINES}
            for number in range(self.plan.rounds):
                say(f"{sizes.name}: round {number + 1} of {self.plan.rounds}")
                for case in CASES:
                    for engine in rotated(ENGINES, number):
                        times[engine][case].append(workers[engine].measure(case, self.plan.seconds))
                    if case == BATCH:
                        bounds.append(self.bounds())

    def worker(self, engine: str, sizes: Sizes, folder: Path) -> Worker:
        return Worker(command(engine, sizes, folder, self.helper), self.core)

    def bounds(self) -> dict:
        measure = ["taskset", "-c", self.core, self.helper, "machine", "--seconds", self.plan.seconds]
        return json.loads(subprocess.run(list(map(str, measure)), stdout=subprocess.PIPE, text=True, check=True).stdout)

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

    def measure_services(self, results: Results, sizes: Sizes, folder: Path) -> None:
        """Next-token requests over HTTP, and a stream. The services wait for one another; each shares the whole machine with the client."""
        answer = self.plan.work / "answer.json"
        text = ["next", "--model", folder, "w7", "--top-k", 10, "--json"]
        answer.write_bytes(subprocess.run([self.program, *map(str, text)], env=clean_environment(), stdout=subprocess.PIPE, check=True).stdout)
        results.rates = {service: {count: [] for count in CONNECTIONS} for service in SERVICES}
        with ExitStack() as stack:
            addresses = {service: stack.enter_context(self.serving(service, folder, answer)) for service in SERVICES}
            step = stack.enter_context(self.worker(ENGINES[0], sizes, folder))
            for number in range(self.plan.rounds):
                say(f"HTTP: round {number + 1} of {self.plan.rounds}")
                for count in CONNECTIONS:
                    for service in rotated(SERVICES, number):
                        results.rates[service][count].append(self.rate(addresses[service], count))
                stream = [self.helper, "stream", "--address", addresses[SERVICES[0]], "--tokens", "500"]
                gap = json.loads(subprocess.run(stream, stdout=subprocess.PIPE, check=True).stdout)["gap_us"]
                results.gaps.append(gap / step.measure(STEP, self.plan.seconds))

    def rate(self, address: str, connections: int) -> float:
        """Answers a second."""
        load = [self.helper, "load", "--address", address, "--path", "/v1/next", "--body", json.dumps({"tokens": [7], "top_k": 10})]
        load += ["--connections", str(connections), "--seconds", str(LOAD_TIMES * self.plan.seconds)]
        return json.loads(subprocess.run(load, stdout=subprocess.PIPE, check=True).stdout)["requests_per_second"]

    @contextmanager
    def serving(self, service: str, folder: Path, answer: Path):
        """Runs a service with its log in a file; its address."""
        environment = {**clean_environment(), "FOLDER": str(folder)}
        commands = {
            "rnnlm-server": [self.program, "serve", "--models", folder, "--listen", "127.0.0.1:0", "--log", "json"],
            "FastAPI + ONNX Runtime": [sys.executable, "-m", "uvicorn", "--app-dir", HERE, "--port", "0", "service:app"],
            "bare axum handler": [self.helper, "bare", "--answer", answer],
        }
        log = self.plan.work / f"{service}.log"
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


def rotated(names: list[str], number: int) -> list[str]:
    """Each round begins with another one."""
    first = number % len(names)
    return names[first:] + names[:first]


def machine() -> dict:
    """What machine this is."""
    name = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {"cpu": name.group(1) if name else "unknown", "cores": os.cpu_count()}


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
