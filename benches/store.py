#!/usr/bin/env python3
"""Measures what a session store costs: requests per second beside `memory`, and the time to restore sessions at the start.

    cargo build --release && cargo bench --bench peers --no-run
    python3 benches/store.py [--seconds N] [--connections N] [--sessions-each N] [--restored N] [--model FOLDER]

A client on this machine appends one token at a time, each connection to sessions of its own in turns. All kinds of store are measured in each
of several rounds, in another order each time; a figure is the median of the rounds. Redis is a `redis-server` on this machine, which
takes its share of the processors; without one, its rows are left out.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from running import PROGRAM, ROOT, Server, load_client

sys.path.append(str(ROOT / "tests/replicas"))
from processes import Redis

KINDS = [("memory", None), ("file", "100ms"), ("file", "0s"), ("redis", "100ms"), ("redis", "0s")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--sessions-each", type=int, default=16, help="sessions of a connection (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="time of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: %(default)s)")
    parser.add_argument("--restored", type=int, default=10_000, help="sessions to restore (default: %(default)s)")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/classics", help="the model's folder (default: %(default)s)")
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    options = parser.parse_args()

    client = load_client()
    kinds = [kind for kind in KINDS if kind[0] != "redis" or shutil.which("redis-server")]
    results = collections.defaultdict(list)
    for turn in range(options.rounds):
        for kind in kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]:
            results[kind].append(measure(options, client, kind))
    median = lambda kind, name: statistics.median(result[name] for result in results[kind])
    print("| Store | `--store-flush` | Requests per second | Relative to `memory` | Median, ms | p99, ms |\n|---|---|---:|---:|---:|---:|")
    for kind in kinds:
        rate = median(kind, "requests_per_second")
        share = rate / median(KINDS[0], "requests_per_second")
        times = " | ".join(f"{median(kind, name) / 1000:.2f}" for name in ("p50_us", "p99_us"))
        print(f"| `{kind[0]}` | {kind[1] or ''} | {rate:.0f} | {share:.2f} | {times} |")
    print()
    restore(options)


def measure(options, client, kind):
    """What the client says of a server with this kind of store."""
    store, flush = kind
    sessions = options.connections * options.sessions_each
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {"memory": lambda: "memory", "file": lambda: f"file:{folder}", "redis": lambda: stack.enter_context(Redis(folder)).url}
        arguments = ["--session-store", places[store](), *(["--store-flush", flush] if flush else [])]
        server = stack.enter_context(Server(options.server, *arguments, models=options.model))
        for session in range(sessions):
            status, answer = server.post("/v1/sessions", {"id": f"s{session}"})
            assert status == 201, answer
        command = [client, "load", "--address", server.address, "--path", "/v1/sessions/s{session}/append", "--body", '{"tokens": [7]}',
                   "--connections", str(options.connections), "--sessions", str(sessions), "--seconds", str(options.seconds)]
        return json.loads(subprocess.check_output(command))


def restore(options):
    """Prints how long a server with stored sessions takes to start, after an orderly end and after a kill."""
    print(f"| A start with {options.restored} sessions | Seconds | File, MB |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        start = lambda: Server(options.server, "--session-store", f"file:{folder}", models=options.model)
        begin = time.perf_counter()
        with start() as server:
            print(f"| of an empty store | {time.perf_counter() - begin:.2f} | |")
            for number in range(options.restored):
                status, answer = server.post("/v1/sessions", {"id": f"s{number}", "tokens": [number % 100]})
                assert status == 201, answer
        for end in ("an orderly end", "a kill"):
            begin = time.perf_counter()
            with start() as server:
                size = sum(file.stat().st_size for file in pathlib.Path(folder).iterdir()) / 1e6
                print(f"| after {end} | {time.perf_counter() - begin:.2f} | {size:.0f} |")
                server.kill()


if __name__ == "__main__":
    main()
