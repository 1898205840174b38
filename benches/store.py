#!/usr/bin/env python3
"""Measures what a session store costs: requests per second beside `memory`, and the time to restore sessions at the start.

    cargo build --release
    python3 benches/store.py [--seconds N] [--clients N] [--sessions N] [--model FOLDER]

Clients on this machine append one token at a time, each to the sessions of its own in turns. All kinds of store are measured in each of
several rounds, in another order each time; a figure is the median of the rounds.
"""

import argparse
import collections
import http.client
import json
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SESSIONS_EACH = 16
KINDS = {
    "memory": [],
    "file, 100ms": ["--store-flush", "100ms"],
    "file, 0s": ["--store-flush", "0s"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16, help="connections (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="time of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=10_000, help="sessions to restore (default: %(default)s)")
    parser.add_argument("--model", default=ROOT / "models/classics", help="the model's folder (default: %(default)s)")
    parser.add_argument("--server", default=ROOT / "target/release/rnnlm-server", help="the binary (default: %(default)s)")
    options = parser.parse_args()

    rates = collections.defaultdict(list)
    waits = collections.defaultdict(list)
    kinds = list(KINDS)
    for turn in range(options.rounds):
        for kind in kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]:
            with tempfile.TemporaryDirectory() as folder, Server(options, folder, kind) as server:
                times = load(server, options)
                rates[kind].append(len(times) / options.seconds)
                waits[kind].append(1000 * statistics.quantiles(times, n=100)[98])
    print("| Store | Requests per second | Beside `memory` | p99, ms |\n|---|---:|---:|---:|")
    base = statistics.median(rates["memory"])
    for kind in kinds:
        rate = statistics.median(rates[kind])
        print(f"| {kind} | {rate:.0f} | {rate / base:.2f} | {statistics.median(waits[kind]):.2f} |")
    print()
    restore(options)


class Server:
    """A server with a store of a kind in a folder."""

    def __init__(self, options, folder, kind):
        store = "memory" if kind == "memory" else f"file:{folder}"
        command = [options.server, "serve", "--models", options.model, "--listen", "127.0.0.1:0", "--session-store", store, *KINDS[kind]]
        begin = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().removeprefix("listening on http://").strip()
        self.start_seconds = time.perf_counter() - begin

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()


class Client:
    """A connection that stays open."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(server.address)

    def post(self, path, body, expected):
        self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != expected:
            raise SystemExit(f"{path}: the server answered with status {answer.status}: {text}")


def load(server, options):
    """The times of all requests, in seconds."""
    begin = threading.Barrier(options.clients)
    times = []

    def run(number):
        client = Client(server)
        paths = []
        for index in range(SESSIONS_EACH):
            name = f"s{number}-{index}"
            client.post("/v1/sessions", {"id": name}, 201)
            paths.append(f"/v1/sessions/{name}/append")
        own = []
        begin.wait()
        end = time.perf_counter() + options.seconds
        while (now := time.perf_counter()) < end:
            client.post(paths[len(own) % SESSIONS_EACH], {"tokens": [len(own) % 100]}, 200)
            own.append(time.perf_counter() - now)
        times.extend(own)

    clients = [threading.Thread(target=run, args=(number,)) for number in range(options.clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return times


def restore(options):
    """Prints how long a server with stored sessions takes to start, after an orderly end and after a kill."""
    print(f"| A start with {options.sessions} sessions | Seconds | File, MB |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        with Server(options, folder, "file, 100ms") as server:
            empty = server.start_seconds
            client = Client(server)
            for number in range(options.sessions):
                client.post("/v1/sessions", {"id": f"s{number}", "tokens": [number % 100]}, 201)
        size = lambda: sum(file.stat().st_size for file in pathlib.Path(folder).iterdir()) / 1e6
        print(f"| of an empty store | {empty:.2f} | |")
        with Server(options, folder, "file, 100ms") as server:
            print(f"| after an orderly end | {server.start_seconds:.2f} | {size():.0f} |")
            server.kill()
        with Server(options, folder, "file, 100ms") as server:
            print(f"| after a kill | {server.start_seconds:.2f} | {size():.0f} |")


if __name__ == "__main__":
    main()
