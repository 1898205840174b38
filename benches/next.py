#!/usr/bin/env python3
"""Measures where the time of a next-token request goes: which threads of the server work for it, and for how long.

    cargo build --release && cargo bench --bench peers --no-run
    python3 benches/next.py [--model DIR] [--spin DURATION] [--seconds SECONDS]

A client on the same machine sends the same request over and over, first on one connection, then on 32. Times of threads are of the processor,
from the system's accounts, in microseconds a request; the step is what `rnnlm-server bench` measures at the mean number of rows.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess

from running import PROGRAM, ROOT, Server, load_client

CONNECTIONS = [1, 32]
THREADS = {"engine": "engine-", "network": "tokio-", "log": "log"}
REQUEST = {"tokens": [7], "top_k": 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/classics", help="a model folder (default: %(default)s)")
    parser.add_argument("--weights", default="as-stored", help="as the server's option (default: %(default)s)")
    parser.add_argument("--spin", default="200us", help="the server's --engine-spin (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="time of each measurement (default: %(default)s)")
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    options = parser.parse_args()

    client = load_client()
    columns = [measure(options, client, count) for count in CONNECTIONS]
    print("| |" + "".join(f" {count} connection{'s' if count > 1 else ''} |" for count in CONNECTIONS))
    print("|---|" + "---:|" * len(CONNECTIONS))
    for row in columns[0]:
        print(f"| {row} |" + "".join(f" {column[row]} |" for column in columns))


def measure(options, client, connections):
    """The rows of the table with this many connections."""
    arguments = ["--log", "json", "--weights", options.weights, "--engine-spin", options.spin]
    load = [client, "load", "--path", "/v1/next", "--body", json.dumps(REQUEST), "--connections", str(connections)]
    with Server(options.server, *arguments, models=options.model) as server:
        run = lambda seconds: json.loads(subprocess.check_output([*load, "--address", server.address, "--seconds", str(seconds)]))
        run(0.3)
        threads, rows, turns = busy(server.process.pid), server.metric("rnnlm_step_rows_sum"), server.metric("rnnlm_step_rows_count")
        own = os.times()
        result = run(options.seconds)
        ended = os.times()
        requests = result["requests"]
        worked = {name: seconds - threads[name] for name, seconds in busy(server.process.pid).items()}
        rows = (server.metric("rnnlm_step_rows_sum") - rows) / (server.metric("rnnlm_step_rows_count") - turns)
    step = step_of(options, max(1, round(rows)))
    spent = lambda seconds: f"{1e6 * seconds / requests:.0f}"
    client_time = ended.children_user + ended.children_system - own.children_user - own.children_system
    return {
        "Answers a second": f"{result['requests_per_second']:.0f}",
        "Time of an answer, median, us": f"{result['p50_us']:.0f}",
        "Rows a turn, mean": f"{rows:.1f}",
        "Engine thread, us": spent(worked["engine"]),
        "of which the step, us": f"{step / max(1, round(rows)):.0f}",
        "Network threads, us": spent(worked["network"]),
        "Log thread, us": spent(worked["log"]),
        "The client, us": spent(client_time),
    }


def busy(process):
    """Seconds of processor time of each kind of thread."""
    seconds = dict.fromkeys(THREADS, 0.0)
    for task in pathlib.Path(f"/proc/{process}/task").iterdir():
        name, _, fields = task.joinpath("stat").read_text().partition("(")[2].rpartition(")")
        fields = fields.split()
        for kind, prefix in THREADS.items():
            if name.startswith(prefix):
                seconds[kind] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def step_of(options, rows):
    """Microseconds of a step of so many rows."""
    command = [options.server, "bench", "--model", options.model, "--weights", options.weights, "--work", "step", "--batch", str(rows), "--json"]
    measured = json.loads(subprocess.check_output(list(map(str, command)), stderr=subprocess.DEVNULL))
    return statistics.median(one["median_us"] for one in measured["measurements"])


if __name__ == "__main__":
    main()
