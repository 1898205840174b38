#!/usr/bin/env python3
"""Uses a server for ten minutes in every way, and checks that its resident memory is flat after the first minute.

    cargo build --release
    python3 benches/soak.py [--seconds N] [--server BINARY]

Threads send requests of all kinds and sizes: short and long prompts, streams that are read to the end and streams that are left,
sessions that are created, written, forked and deleted or left to expire, lists of tokens, and requests that are refused. What a model keeps of
each token that it has read (`--fold-embedding`) grows as long as there are new ones, so it reads all of them first. Resident memory is looked at
every second. Fails if the most after the first minute (or a fifth of a shorter time) is more than a tenth above the most within it,
or if the server answers with 500.
"""

import argparse
import collections
import json
import random
import threading
import time

from running import PROGRAM, Server

WORDS = "the sea was old and the men sang of it while a ship came in from the north".split()
SLACK = 1.1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--memory-max", default="768MiB", metavar="SIZE", help="as that of the server (default: %(default)s)")
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    options = parser.parse_args()
    with Server(options.server, "--session-ttl", "20s", "--memory-max", options.memory_max) as server:
        read_all_tokens(server)
        end = time.monotonic() + options.seconds
        clients = [Client(server, seed, end) for seed in range(options.threads)]
        for client in clients:
            client.start()
        sizes = []
        while time.monotonic() < end:
            time.sleep(1)
            sizes.append(server.resident())
        for client in clients:
            client.join()
    statuses = sum((client.statuses for client in clients), collections.Counter())
    settled = min(60, options.seconds // 5)
    first, rest = max(sizes[:settled]), max(sizes[settled:])
    print(f"{sum(statuses.values())} answers in {options.seconds} s: {dict(sorted(statuses.items(), key=str))}")
    step = max(1, len(sizes) // 20)
    print("resident, MB:", " ".join(f"{size / 1e6:.0f}" for size in sizes[::step]))
    print(f"most in the first {settled} s: {first / 1e6:.0f} MB; later: {rest / 1e6:.0f} MB")
    if statuses[500] or rest > SLACK * first:
        raise SystemExit("the memory grows, or requests fail")


def read_all_tokens(server):
    for model in ("classics", "classics-rnn"):
        size = json.loads(server.get(f"/v1/models/{model}"))["vocab_size"]
        status, answer = server.post("/v1/next", {"model": model, "tokens": list(range(size)), "top_k": 1})
        if status != 200:
            raise SystemExit(f"found {status} to a prompt of all tokens of {model}: {answer[:300]}")


class Client(threading.Thread):
    """Sends one request after another."""

    def __init__(self, server, seed, end):
        super().__init__()
        self.server = server
        self.random = random.Random(seed)
        self.end = end
        self.statuses = collections.Counter()

    def run(self):
        kinds = [self.next, self.long, self.score, self.stream, self.leave, self.session, self.tokenize, self.wrong]
        while time.monotonic() < self.end:
            self.random.choice(kinds)()

    def text(self, count):
        return " ".join(self.random.choices(WORDS, k=count))

    def post(self, path, body):
        status, _ = self.server.post(path, body)
        self.statuses[status] += 1

    def next(self):
        self.post("/v1/next", {"text": self.text(10), "full": self.random.random() < 0.2})

    def long(self):
        self.post("/v1/next", {"text": self.text(self.random.randrange(1, 20_000)), "model": "classics-rnn"})

    def score(self):
        texts = [self.text(self.random.randrange(1, 100)) for _ in range(self.random.randrange(1, 50))]
        self.post("/v1/score", {"texts": texts, "token_logprobs": self.random.random() < 0.5})

    def stream(self):
        self.post("/v1/generate", {"text": self.text(5), "max_tokens": self.random.randrange(1, 200), "stream": True})

    def leave(self):
        connection = self.server.connect()
        connection.request("POST", "/v1/generate", json.dumps({"text": self.text(5), "max_tokens": 4000, "stream": True}))
        answer = connection.getresponse()
        self.statuses[answer.status] += 1
        answer.read(64)
        connection.close()

    def session(self):
        name = f"{self.random.getrandbits(64):x}"
        self.post("/v1/sessions", {"id": name, "text": self.text(5), "rewind_tokens": 64})
        for _ in range(self.random.randrange(4)):
            self.post(f"/v1/sessions/{name}/append", {"text": self.text(10)})
        self.post(f"/v1/sessions/{name}/fork", {})

    def tokenize(self):
        self.post("/v1/tokenize", {"text": self.text(self.random.randrange(1, 60_000)), "pieces": self.random.random() < 0.5})

    def wrong(self):
        self.post("/v1/next", {"requests": [{}] * self.random.randrange(1, 20_000)})


if __name__ == "__main__":
    main()
