"""Faults that one server meets, and what comes of them: the rows of the table in docs/operations.md that `run.py` does not make.

    python tests/replicas/faults.py [NAME ...]

`disk-full` needs root, to mount a small file system. `clock` needs Debian's package `faketime`, and those that name Redis, or two servers on
one session, its `redis-server`.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

import shared
from clients import Client
from processes import ROOT, Server, get, wait
from shared import expect, metric

MODEL = ROOT / "models/shakespeare-rnn"
DISK_BYTES = 4 << 20


class Fault:
    """A folder, and the program under test."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path) -> None:
        self.binary = binary
        self.folder = folder

    def server(self, *options: object, name: str = "server") -> Server:
        return Server(name, self.folder, self.binary, "--models", MODEL, *options)


def disk_full(fault: Fault) -> str:
    """Sessions fill a disk. Requests go on, and are stored as soon as there is room."""
    disk = fault.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk], check=True)
    try:
        with fault.server("--session-store", f"file:{disk}", "--store-flush", "0s") as server:
            client = Client(server.address)
            ballast = disk / "ballast"
            free = subprocess.run(["df", "--output=avail", "-B1", disk], capture_output=True, text=True, check=True)
            ballast.write_bytes(bytes(max(0, int(free.stdout.split()[1]) - (64 << 10))))
            created = 0
            while metric(server, "rnnlm_store_errors_total") == 0:
                client.expect(201, "POST", "/v1/sessions", {"id": f"s{created}", "text": "KING"})
                created += 1
            for number in range(100):
                client.expect(201, "POST", "/v1/sessions", {"id": f"full-{number}", "text": "KING"})
            expect(get(f"http://{server.address}/readyz") is not None, "the server stays ready")
            ballast.unlink()
            wait(lambda: metric(server, "rnnlm_store_queue") == 0, "everything to be stored")
            server.kill()
            server.start()
            kept = client.expect(200, "GET", "/v1/sessions?limit=1000")["data"]
            expect(len(kept) == created + 100, f"{created + 100} sessions after a kill, found {len(kept)}")
        return f"100 requests answered while the disk was full; all {created + 100} sessions stored once it had room, and there after `kill -9`"
    finally:
        subprocess.run(["umount", disk], check=True)


def clock(fault: Fault) -> str:
    """The clock of the machine jumps, forward and back, while a server runs and while it does not."""
    offset = fault.folder / "offset"
    offset.write_text("+0")
    server = fault.server("--session-ttl", "1h", "--session-store", f"file:{fault.folder}/sessions", "--store-flush", "0s")
    # The time that waits and deadlines are measured by does not jump on a machine either.
    server.environment = {"LD_PRELOAD": faketime(), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with server:
        client = Client(server.address)
        client.expect(201, "POST", "/v1/sessions", {"id": "s", "text": "KING"})
        for jump in ("+2h", "-2h", "+0"):
            offset.write_text(jump)
            client.expect(200, "POST", "/v1/sessions/s/append", {"text": "a"})
        # A stored time that lies in the future does no harm; one that lies too far in the past is a session that has expired.
        restarted(server, offset, "-2h")
        client.expect(200, "POST", "/v1/sessions/s/append", {"text": "a"})
        restarted(server, offset, "+2h")
        client.expect(404, "GET", "/v1/sessions/s")
    return "a running server is not affected; after a restart, sessions that the new time makes too old have expired, and others are used on"


def restarted(server: Server, offset: pathlib.Path, jump: str) -> None:
    server.terminate()
    offset.write_text(jump)
    server.start()


def faketime() -> str:
    """The library that `faketime` puts before a program."""
    done = subprocess.run(["faketime", "now", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def revoked_key(fault: Fault) -> str:
    """A key is taken out of the file while a stream runs with it."""
    keys = fault.folder / "keys"
    keys.write_text("alice:alice-secret\nbob:bob-secret\n")
    with fault.server("--api-keys", keys, "--api-keys-poll", "10ms") as server:
        client = Client(server.address, headers={"authorization": "Bearer alice-secret"})
        begin = client.expect(201, "POST", "/v1/sessions", {"id": "s", "text": "KING"})["position"]
        seen: list[int] = []

        def revoke(token: int) -> None:
            seen.append(token)
            if len(seen) == 10:
                new = fault.folder / "new"
                new.write_text("bob:bob-secret\n")
                new.rename(keys)

        last = client.stream("/v1/sessions/s/generate", {"max_tokens": 4096}, revoke)
        expect(last["event"] == "error" and last["error"]["code"] == "unauthorized", f"an error `unauthorized`, found {last}")
        expect(len(seen) < 4096, "the stream to end early")
        expect(client.send("GET", "/v1/sessions/s").status == 401, "the key to be refused")
        bob = Client(server.address, headers={"authorization": "Bearer bob-secret"})
        expect(bob.send("GET", "/v1/sessions/s").status == 404, "the session to be hidden from the other key")
        keys.write_text("alice:alice-secret\n")
        wait(lambda: client.send("GET", "/v1/sessions/s").status == 200, "the key to be accepted again")
        position = client.expect(200, "GET", "/v1/sessions/s")["position"]
        expect(position >= begin + len(seen), f"the session at {begin + len(seen)} or later, found {position}")
    return "the stream ends with an error event `unauthorized`; its session keeps what was sent and is found again when the key returns"


FAULTS: dict[str, Callable[[Fault], str]] = {"disk-full": disk_full, "clock": clock, "revoked-key": revoked_key} | shared.FAULTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(FAULTS)} (default: all)")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/rnnlm-server")
    options = parser.parse_args()
    unknown = set(options.names) - set(FAULTS)
    if unknown:
        parser.error(f"found {', '.join(sorted(unknown))}, expected {', '.join(FAULTS)}")
    for name in options.names or FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: {FAULTS[name](Fault(options.binary, pathlib.Path(folder)))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
