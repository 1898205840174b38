#!/usr/bin/env python3
"""Measures the peak memory of a server under each kind of request at its largest, alone and many at once.

    cargo build --release
    python3 benches/peak.py [--memory-max SIZE] [--only NAME]

A server is started anew for each kind, with the models that ship. `counted` is what its budget says was given out at most
(`rnnlm_memory_requests_peak_bytes`); resident memory is the system's. Fails if a server ends, or takes more than the SIZE that it was given.
"""

import argparse
import collections
import concurrent.futures
import json
import re
import time

from running import PROGRAM, Server

MEBIBYTE = 1 << 20
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def kinds(limit):
    """Each kind of request: its name, path, body and how many are sent at once. No body is longer than `limit`."""
    room = limit - 1024
    letters = "a" * room
    words = ("the sea was old and the men sang of it . " * (room // 40))[:room]
    char = {"model": "shakespeare-lstm"}
    text = lambda text, **rest: json.dumps({"text": text, **rest})
    many = lambda begin, entry, end: begin + ",".join([entry] * ((room - len(begin) - len(end)) // (len(entry) + 1))) + end
    hypotheses = '{"hypotheses":[' + ",".join(["{}"] * 60_000) + "]}"
    full = json.dumps({"requests": [{"text": "the", "full": True}] * 21})
    return [
        ("`tokenize`, letters", "/v1/tokenize", text(letters, **char), 1),
        ("`tokenize`, letters, ids alone", "/v1/tokenize", text(letters, pieces=False, **char), 1),
        ("`tokenize`, words, ids alone", "/v1/tokenize", text(words, pieces=False), 1),
        ("`tokenize`, letters, ids alone, 20 at once", "/v1/tokenize", text(letters, pieces=False, **char), 20),
        ("`detokenize`", "/v1/detokenize", many('{"tokens":[', "1", "]}"), 1),
        ("`next`, letters", "/v1/next", text(letters, **char), 1),
        ("`next`, words", "/v1/next", text(words), 1),
        ("`next`, letters, 20 at once", "/v1/next", text(letters, **char), 20),
        ("`next`, letters, 40 at once", "/v1/next", text(letters, **char), 40),
        ("`next`, empty requests", "/v1/next", many('{"requests":[', "{}", "]}"), 1),
        ("`next`, full distributions, 10 at once", "/v1/next", full, 10),
        ("`score`, letters", "/v1/score", text(letters, **char), 1),
        ("`score`, letters, listed", "/v1/score", text(letters, token_logprobs=True, **char), 1),
        ("`score`, empty texts", "/v1/score", many('{"texts":[', '""', "]}"), 1),
        ("`rescore`, empty hypotheses", "/v1/rescore", many('{"utterances":[', hypotheses, "]}"), 1),
        ("`rescore`, empty hypotheses, 10 at once", "/v1/rescore", many('{"utterances":[', hypotheses, "]}"), 10),
        ("`generate`, letters, 10 at once", "/v1/generate", text(letters, max_tokens=1, **char), 10),
        ("`completions`, empty prompts", "/v1/completions", many('{"prompt":[', "[]", "]}"), 1),
        ("`explain`, words", "/v1/explain", text(words[:4000]), 1),
        ("`sessions`, letters, 10 at once", "/v1/sessions", text(letters, **char), 10),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-max", default="768MiB", metavar="SIZE", help="as that of the server (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=16 * MEBIBYTE, metavar="BYTES", help="of a body (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="NAME", help="only the kinds whose names contain it")
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    options = parser.parse_args()
    size, unit = re.fullmatch(r"(\d+)([KMG]iB)", options.memory_max).groups()
    memory_max = int(size) * UNITS[unit]

    print("| Request | Answers | Counted, MB | At start, MB | Peak, MB | After, MB |")
    print("|---|---|---:|---:|---:|---:|")
    worst = 0
    for name, path, body, count in kinds(options.limit):
        if options.only not in name:
            continue
        result = attack(options, path, body, count)
        answers = ", ".join(f"{status}" if count == 1 else f"{times} times {status}" for status, times in sorted(result.statuses.items()))
        sizes = [result.counted, result.start, result.peak, result.after]
        print(f"| {name} | {answers} | " + " | ".join(f"{size / 1e6:.0f}" for size in sizes) + " |", flush=True)
        worst = max(worst, result.peak)
    if worst > memory_max:
        raise SystemExit(f"the peak is {worst} bytes; expected at most {memory_max} (`--memory-max {options.memory_max}`)")


Result = collections.namedtuple("Result", "statuses counted start peak after")


def attack(options, path, body, count):
    with Server(options.server, "--memory-max", options.memory_max) as server:
        start = server.resident()
        # The peak is that from now on: loading has one of its own.
        server.forget_peak()
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            statuses = collections.Counter(pool.map(lambda _: server.post(path, body)[0], range(count)))
        peak = server.resident("VmHWM")
        # The last of what was taken is given back a moment after the answer.
        time.sleep(1)
        return Result(statuses, server.metric("rnnlm_memory_requests_peak_bytes"), start, peak, server.resident())


if __name__ == "__main__":
    main()
