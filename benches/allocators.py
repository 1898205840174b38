#!/usr/bin/env python3
"""Compares allocators: memory after loading, with sessions, and when these are gone; and requests per second.

    cargo build --release
    apt-get install libmimalloc2.0 libjemalloc2
    python3 benches/allocators.py

Other allocators are put before the system's by the dynamic linker (`LD_PRELOAD`), so the program is the same. Medians of `--runs` servers each, in turn.
Only the standard library is needed.
"""

import argparse
import concurrent.futures
import pathlib
import statistics
import time

from running import PROGRAM, Server

LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
# By the variables of their environments.
ALLOCATORS = {
    "the system's (glibc), as `serve` sets it": [],
    # Any choice of the environment stays; this one is the default.
    "the same, as it is": ["LD_PRELOAD="],
    "mimalloc": [f"LD_PRELOAD={LIBRARIES}/libmimalloc.so.2"],
    "jemalloc": [f"LD_PRELOAD={LIBRARIES}/libjemalloc.so.2"],
}
QUESTION = '{"text": "She was sitting by the", "top_k": 10}'
TEXT = '{"texts": ["' + "the sea was old and the men sang of it . " * 200 + '"], "token_logprobs": true}'
CLIENTS = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=5, help="of requests, of each kind (default: %(default)s)")
    options = parser.parse_args()
    found = {name: [] for name in ALLOCATORS}
    for _ in range(options.runs):
        for name, variables in ALLOCATORS.items():
            found[name].append(measure(options, variables))
    print(f"| Allocator | Loaded, MB | {options.sessions:,} sessions, MB | Sessions expired, MB | `next`, requests/s | `score`, requests/s | After them, MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, runs in found.items():
        loaded, full, freed, questions, texts, after = map(statistics.median, zip(*runs))
        print(f"| {name} | {loaded / 1e6:.0f} | {full / 1e6:.0f} | {freed / 1e6:.0f} | {questions:.0f} | {texts:.1f} | {after / 1e6:.0f} |")


def measure(options, variables):
    before = ["env", *variables] if variables else []
    with Server(options.server, "--session-ttl", "20s", before=before) as server:
        # The first answers touch what is used from then on.
        answered(server, "/v1/next", QUESTION, 1)
        loaded = server.resident()
        full = fill(server, options.sessions)
        while server.metric("rnnlm_sessions"):
            time.sleep(0.2)
        time.sleep(1)
        freed = server.resident()
        questions = answered(server, "/v1/next", QUESTION, options.seconds)
        texts = answered(server, "/v1/score", TEXT, options.seconds)
        time.sleep(1)
        return loaded, full, freed, questions, texts, server.resident()


def fill(server, count):
    """Creates sessions that live until all of them exist, and returns the resident bytes then."""
    each = count // CLIENTS

    def create(client):
        connection = server.connect()
        for _ in range(each):
            # At the start of the model, all sessions would share a state.
            connection.request("POST", "/v1/sessions", '{"text": "the"}')
            connection.getresponse().read()

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(create, range(CLIENTS)))
    if server.metric("rnnlm_sessions") < each * CLIENTS:
        raise SystemExit(f"creating {count} sessions took longer than their time to live; expected less (`--sessions`)")
    return server.resident()


def answered(server, path, body, seconds):
    """Requests per second of clients that each send the next when they have the answer."""
    end = time.monotonic() + seconds

    def ask(_):
        connection = server.connect()
        count = 0
        while time.monotonic() < end:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"`{path}` is answered {answer.status}")
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(ask, range(CLIENTS))) / seconds


if __name__ == "__main__":
    main()
