#!/usr/bin/env python3
"""Attacks a server as one client, or one folder, could, and prints what that costs the others.

    cargo build --release
    python3 benches/attack.py [--only NAME]

A server is started anew for each attack, with the models that ship and the default options, but for those named. Everything runs on this
machine, the clients included, so waits are upper bounds. Requests at their largest are in `benches/peak.py`. Only the standard library is needed.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import selectors
import shutil
import signal
import socket
import statistics
import tempfile
import threading
import time

from running import PROGRAM, ROOT, Server

QUESTION = {"text": "She was sitting by the", "top_k": 3}
STREAM = {"text": "The old man looked at the", "max_tokens": 4096, "stream": True}
# Another address of this machine: what `--peer-connections-max` leaves for others.
OTHER = "127.0.0.2"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="NAME", help="only the attacks whose names contain it")
    options = parser.parse_args()
    attacks = [
        long_texts, unread, unread_through_a_proxy, streams, hostile_files, overload, extreme_numbers, many_sessions, half_closed, few_files,
        while_closing,
    ]
    print("| Attack | Result |")
    print("|---|---|")
    for attack in attacks:
        if options.only in attack.__name__:
            print(f"| {attack.__doc__} | {attack(options.server)} |", flush=True)


def long_texts(program):
    """8 clients score 3,000 words each on `classics-ffn`"""
    words = " ".join(["the sea was old and the men sang of it"] * 333)
    with Server(program) as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
        scores = [pool.submit(server.post, "/v1/score", {"model": "classics-ffn", "text": words}) for _ in range(8)]
        waits = []
        while not all(score.done() for score in scores):
            waits.append(wait(server))
        statuses = counted(score.result()[0] for score in scores)
        held = [pool.submit(server.post, "/v1/score", {"model": "classics-ffn", "texts": [words] * 100}) for _ in range(8)]
        time.sleep(0.5)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        # Signals that come at once are one.
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait()
        ended = time.monotonic() - begun
        concurrent.futures.wait(held)
    return f"{statuses}; `next` on `classics` waits {summary(waits)}; two SIGTERMs a second apart end the server in {ended:.1f} s"


def unread(program):
    """200 clients of one address do not read answers of 7 MB; `--max-connections 200`"""
    with Server(program, "--max-connections", "200") as server:
        server.forget_peak()
        clients = [send(server, "/v1/next", {"requests": [QUESTION | {"full": True}] * 21}) for _ in range(200)]
        time.sleep(3)
        same, _ = server.post("/v1/next", QUESTION)
        waits = [wait(server, OTHER) for _ in range(20)]
        peak = server.resident("VmHWM")
        freed = until(lambda: server.metric("rnnlm_memory_bytes") == 0, 60)
        close(clients)
    return (f"the same address gets {same}, another waits {summary(waits)}; at most {megabytes(peak)} resident; "
            f"nothing is held for the answers after {freed:.0f} s")


def unread_through_a_proxy(program):
    """the same, with `--peer-connections-max 200` too"""
    with Server(program, "--max-connections", "200", "--peer-connections-max", "200") as server:
        clients = [send(server, "/v1/next", {"requests": [QUESTION | {"full": True}] * 21}) for _ in range(200)]
        waited = wait(server)
        close(clients)
    return f"the next client is answered after {waited:.1f} s (`--write-timeout` is 30 s)"


def streams(program):
    """300 streams of 4,096 tokens, all of them read"""
    with Server(program) as server, Drained([send(server, "/v1/generate", STREAM) for _ in range(300)]) as drained:
        time.sleep(5)
        waits = [wait(server, OTHER) for _ in range(50)]
        accepted = [client for client, first in drained.first.items() if first.startswith(b"HTTP/1.1 200")]
        moving = sum(drained.bytes[client] > 1000 for client in accepted)
    return f"{len(accepted)} are accepted, the others are rejected with 429 and `retry-after`; {moving} of them move; `next` waits {summary(waits)}"


def hostile_files(program):
    """every file of `tests/data/hostile` in a folder beside a good model"""
    files = [path for path in sorted((ROOT / "tests/data/hostile").iterdir()) if path.suffix in (".onnx", ".json")]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        models = pathlib.Path(folder)
        shutil.copytree(ROOT / "models/classics-rnn", models / "good")
        for file in files:
            write_model(models / file.name, file)
        begun = time.monotonic()
        with Server(program, models=models, log=log) as server:
            ready = time.monotonic() - begun
            status, _ = server.post("/v1/next", QUESTION)
            peak = server.resident("VmHWM")
        log.seek(0)
        said = log.read()
        named = sum(f"/{file.name}" in said for file in files)
    return f"{named} of {len(files)} refused by name; ready after {ready:.1f} s, at most {megabytes(peak)} resident; the good model answers {status}"


def write_model(folder, file):
    folder.mkdir()
    if file.suffix == ".onnx":
        manifest = {"weights": "model.onnx", "tokenizer": {"kind": "whitespace", "file": "vocab.txt"}}
        shutil.copy(file, folder / "model.onnx")
        (folder / "vocab.txt").write_text("<unk>\n" + "\n".join(f"word{index}" for index in range(10)))
    else:
        architecture = {"cell": "lstm", "vocab_size": 26, "embedding_size": 2, "hidden_sizes": [2]}
        tokenizer = {"kind": "huggingface", "file": "tokenizer.json"}
        manifest = {"weights": "model.safetensors", "architecture": architecture, "tokenizer": tokenizer}
        shutil.copy(file, folder / "tokenizer.json")
        (folder / "model.safetensors").write_bytes(b"")
    (folder / "config.json").write_text(json.dumps({"format_version": 1} | manifest))


def overload(program):
    """ten times too many generations of 300 tokens, for 60 s"""
    asked = {"text": "The old man looked at the", "max_tokens": 300, "stop_at_eos": False}
    with Server(program) as server, concurrent.futures.ThreadPoolExecutor(2000) as pool:
        # What the server can do: 32 clients, each of which sends its next request when it has its answer.
        begun = time.monotonic()
        closed = [pool.submit(lambda: [server.post("/v1/generate", asked) for _ in range(4)]) for _ in range(32)]
        concurrent.futures.wait(closed)
        rate = 128 / (time.monotonic() - begun)
        before = server.metric("rnnlm_tokens_total")
        begun = time.monotonic()
        answers = []
        while (passed := time.monotonic() - begun) < 60:
            while len(answers) < 10 * rate * passed:
                answers.append(pool.submit(server.post, "/v1/generate", asked))
            time.sleep(0.005)
        statuses = collections.Counter()
        complete = 0
        for answer in answers:
            status, body = answer.result()
            statuses[status] += 1
            complete += status == 200 and json.loads(body)["choices"][0]["finish_reason"] == "length"
        computed = server.metric("rnnlm_tokens_total") - before
    share = complete * (300 + 6) / computed
    return f"{counted(statuses.elements())} of {10 * rate:.0f} a second; {100 * share:.0f} % of the computed tokens are in complete answers"


def extreme_numbers(program):
    """`top_k` of 2^62, 2^63 and 2^64"""
    with Server(program) as server:
        statuses = []
        for top_k in (1 << 62, 1 << 63, 1 << 64):
            statuses.append(server.post("/v1/generate", QUESTION | {"top_k": top_k, "max_tokens": 1})[0])
            statuses.append(server.post("/v1/next", QUESTION | {"sampling": {"top_k": top_k}})[0])
    return counted(statuses)


def many_sessions(program):
    """more sessions than there is room for, which then expire; `--memory-max 768MiB --session-ttl 90s`"""
    with Server(program, "--memory-max", "768MiB", "--session-ttl", "90s") as server:
        start = server.resident()
        server.forget_peak()

        def create():
            connection = server.connect()
            while server.metric("rnnlm_sessions_closed_total") == 0:
                for _ in range(500):
                    # At the start of the model, all sessions would share a state.
                    connection.request("POST", "/v1/sessions", '{"text": "the"}')
                    connection.getresponse().read()

        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            [future.result() for future in [pool.submit(create) for _ in range(8)]]
        took = time.monotonic() - begun
        count = server.metric("rnnlm_sessions")
        peak = server.resident("VmHWM")
        waits = []
        while server.metric("rnnlm_sessions"):
            waits.append(wait(server))
        after = server.resident()
    return (f"{count:,.0f} fit, created in {took:.0f} s, then the least recently used go; {megabytes(start)} resident at the start, at most {megabytes(peak)}; "
            f"while they expire `next` waits {summary(waits)}; then {megabytes(after)}")


def half_closed(program):
    """a client that closes its side after its request"""
    with Server(program) as server:
        client = send(server, "/v1/next", QUESTION)
        client.shutdown(socket.SHUT_WR)
        line = client.makefile().readline().strip()
        close([client])
    return f"`{line}`"


def few_files(program):
    """300 connections where 128 files may be open"""
    with tempfile.TemporaryFile("w+") as log:
        command = ["/bin/sh", "-c", 'ulimit -n 128; exec "$@"', "sh"]
        with Server(program, log=log, before=command) as server:
            clients = [connected(server) for _ in range(300)]
            waits = [wait(server, OTHER) for _ in range(5)]
            close(clients)
        log.seek(0)
        warned = any("too few files may be open" in line for line in log)
    return f"the log {'warns' if warned else 'says nothing'} at the start; another client waits {summary(waits)}"


def while_closing(program):
    """clients that connect every 2 ms while the server ends, which waits 2 s for a stream"""
    with Server(program, "--shutdown-grace", "2s") as server, Drained([send(server, "/v1/generate", STREAM)]):
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        found = collections.Counter()
        while server.process.poll() is None:
            try:
                client = send(server, "/v1/next", QUESTION)
                found["answered" if client.makefile().readline() else "dropped"] += 1
                close([client])
            except ConnectionRefusedError:
                found["refused"] += 1
            except OSError:
                found["dropped"] += 1
            time.sleep(0.002)
    return ", ".join(f"{times} {name}" for name, times in sorted(found.items()))


class Drained:
    """Connections that are read, whatever comes."""

    def __init__(self, clients):
        self.bytes = dict.fromkeys(clients, 0)
        self.first = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.read)

    def __enter__(self):
        self.thread.start()
        return self

    def read(self):
        with selectors.DefaultSelector() as selector:
            for client in self.bytes:
                selector.register(client, selectors.EVENT_READ)
            while not self.ended.is_set():
                for key, _ in selector.select(0.1):
                    piece = key.fileobj.recv(1 << 16)
                    self.bytes[key.fileobj] += len(piece)
                    self.first.setdefault(key.fileobj, piece)
                    if not piece:
                        selector.unregister(key.fileobj)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        close(self.bytes)


def connected(server):
    host, port = server.address.split(":")
    return socket.create_connection((host, int(port)))


def send(server, path, body):
    """Sends a request and reads nothing."""
    client = connected(server)
    body = json.dumps(body)
    client.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
    return client


def close(clients):
    for client in clients:
        client.close()


def wait(server, source=None):
    """Seconds of a question."""
    begun = time.monotonic()
    status, _ = server.post("/v1/next", QUESTION, source)
    if status != 200:
        raise SystemExit(f"`next` is answered {status}; expected 200")
    return time.monotonic() - begun


def until(reached, seconds):
    begun = time.monotonic()
    while not reached():
        if time.monotonic() - begun > seconds:
            raise SystemExit(f"not reached within {seconds} s")
        time.sleep(0.5)
    return time.monotonic() - begun


def summary(waits):
    return f"{1000 * statistics.median(waits):.0f} ms (median), {1000 * max(waits):.0f} ms (longest of {len(waits)})"


def counted(statuses):
    return ", ".join(f"{times} times {status}" for status, times in sorted(collections.Counter(statuses).items(), key=str))


def megabytes(size):
    return f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    main()
