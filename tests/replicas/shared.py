"""What comes of faults of a shared store, and of two servers on one session: the rows of Redis of `faults.py`."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from cable import Cable
from clients import Client, Failed
from processes import Redis, Server, get, wait

# Longer than a server waits for the store.
PAUSE = 2.0


@contextlib.contextmanager
def replicas(fault, *options: str) -> Iterator[tuple[Redis, list[Server], list[Client]]]:
    """Redis with these options, and two servers that share it."""
    with Redis(fault.folder, *options) as redis, over(fault, redis.url, redis.url) as servers:
        yield redis, servers, [Client(server.address) for server in servers]


@contextlib.contextmanager
def over(fault, *urls: str) -> Iterator[list[Server]]:
    """A server for each of these URLs of one Redis."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(fault.server("--session-store", url, "--store-flush", "0s", name=f"replica-{number}"))
            for number, url in enumerate(urls, 1)
        ]


def redis_killed(fault) -> str:
    """Redis, which keeps nothing on disk, is killed and comes back empty."""
    with replicas(fault) as (redis, servers, (one, two)):
        for number in range(20):
            one.expect(201, "POST", "/v1/sessions", {"id": f"s{number}", "text": "KING"})
        redis.kill()
        times = []
        for number in range(20):
            begun = time.monotonic()
            one.expect(200, "POST", f"/v1/sessions/s{number}/append", {"text": "a"})
            times.append(time.monotonic() - begun)
        ready = all(get(f"http://{server.address}/readyz") is not None for server in servers)
        expect(ready, "both servers to stay ready")
        redis.start()
        wait(lambda: metric(servers[0], "rnnlm_store_queue") == 0, "everything to be stored again")
        for number in range(20):
            found = two.expect(200, "GET", f"/v1/sessions/s{number}")["position"]
            expect(found == 5, f"position 5 on the other server, found {found}")
        return (
            f"20 of 20 writes answered while it was gone, the slowest in {1000 * max(times):.0f} ms, and both servers ready;"
            " when it came back empty, what had been written was stored and found on the other server"
        )


def redis_full(fault) -> str:
    """Redis has no memory for more sessions, and then has."""
    with replicas(fault, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as (redis, servers, (one, two)):
        created = 0
        while metric(servers[0], "rnnlm_store_errors_total") == 0:
            one.expect(201, "POST", "/v1/sessions", {"id": f"s{created}", "text": "KING"})
            created += 1
        for number in range(100):
            one.expect(201, "POST", "/v1/sessions", {"id": f"full-{number}", "text": "KING"})
        expect(get(f"http://{servers[0].address}/readyz") is not None, "the server to stay ready")
        command(redis, "CONFIG SET maxmemory 0")
        wait(lambda: metric(servers[0], "rnnlm_store_queue") == 0, "everything to be stored")
        for number in range(100):
            two.expect(200, "GET", f"/v1/sessions/full-{number}")
        return f"100 sessions created after it was full ({created} before); once it had room, all were stored and found on the other server"


def redis_slow(fault) -> str:
    """Redis answers nothing for two seconds."""
    with replicas(fault) as (redis, _servers, (one, two)):
        one.expect(201, "POST", "/v1/sessions", {"id": "s", "text": "KING"})
        command(redis, f"CLIENT PAUSE {1000 * PAUSE:.0f} ALL")
        times = []
        end = time.monotonic() + PAUSE
        position = 4
        while time.monotonic() < end:
            begun = time.monotonic()
            position = one.expect(200, "POST", "/v1/sessions/s/append", {"text": "a"})["position"]
            times.append(time.monotonic() - begun)
        wait(lambda: two.send("GET", "/v1/sessions/s").body.get("position") == position, "the other server to see all writes")
        return f"{len(times)} writes answered in the meantime, the slowest in {1000 * max(times):.0f} ms; afterwards the other server saw all of them"


def partition(fault) -> str:
    """One of two servers is cut off from Redis while both are used."""
    with Redis(fault.folder) as redis, Cable(redis.port) as cable, over(fault, cable.url, redis.url) as servers:
        one, two = (Client(server.address) for server in servers)
        append = lambda client, name: client.expect(200, "POST", f"/v1/sessions/{name}/append", {"text": "a"})["position"]
        for name in ("both", "one", "two"):
            one.expect(201, "POST", "/v1/sessions", {"id": name, "text": "KING"})
            two.expect(200, "GET", f"/v1/sessions/{name}")
        cable.is_cut.set()
        begun = time.monotonic()
        for name in ("both", "one"):
            append(one, name)
        slowest = time.monotonic() - begun
        expect(get(f"http://{servers[0].address}/readyz") is not None, "the server that is cut off to stay ready")
        for name in ("both", "both", "two"):
            append(two, name)
        cable.is_cut.clear()
        wait(lambda: metric(servers[0], "rnnlm_store_queue") == 0, "everything to be stored")
        told = one.send("POST", "/v1/sessions/both/append", {"text": "a"})
        code, stored = told.body.get("error", {}).get("code"), told.headers["x-session-position"]
        expect((told.status, code, stored) == (410, "session_diverged", "6"), f"410 `session_diverged` at position 6, found {told}")
        for client in (one, two):
            for name, position in (("both", 6), ("one", 5), ("two", 5)):
                found = client.expect(200, "GET", f"/v1/sessions/{name}")["position"]
                expect(found == position, f"`{name}` at position {position}, found {found}")
        return (
            f"both servers answered all writes, the one that was cut off within {1000 * slowest:.0f} ms, and it stayed ready; when they were connected"
            " again, a session that both had written to was that of the other, and its client was told so (410 `session_diverged`, with the position); sessions"
            " that one of them had written to were on both"
        )


def one_session(fault) -> str:
    """A stream writes to a session on one server while the other wants to write to it too."""
    with replicas(fault) as (_redis, _servers, (one, two)):
        one.expect(201, "POST", "/v1/sessions", {"id": "s", "text": "KING"})
        seen: list[int] = []
        done = []
        path = "/v1/sessions/s/generate"
        stream = threading.Thread(target=lambda: done.append(one.stream(path, {"max_tokens": 2000, "temperature": 0}, seen.append)))
        stream.start()
        wait(lambda: bool(seen), "the stream to begin")
        refused = two.send("POST", "/v1/sessions/s/append", {"text": "a"})
        code = refused.body.get("error", {}).get("code")
        expect((refused.status, code, refused.headers["x-should-retry"]) == (409, "session_busy", "true"), f"409 `session_busy`, found {refused}")
        stream.join()
        expect(done and done[0]["event"] == "done", f"the stream to end in order, found {done}")
        position = two.expect(200, "POST", "/v1/sessions/s/append", {"text": "a"})["position"]
        expect(position == 4 + len(seen) + 1, f"position {4 + len(seen) + 1} after the stream and the append, found {position}")
        return "the second server answered 409 `session_busy` with `x-should-retry: true` while the stream ran, and then went on where the stream had ended"


def command(redis: Redis, text: str) -> None:
    """Sends a command that Redis answers with OK."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as connection:
        connection.sendall(f"{text}\r\n".encode())
        answer = connection.recv(64)
    expect(answer == b"+OK\r\n", f"`{text}` to be accepted, found {answer!r}")


def metric(server: Server, name: str) -> float:
    """The value of a metric without labels."""
    page = get(f"http://{server.address}/metrics").decode()
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(f"{name} "))


def expect(is_so: bool, what: str) -> None:
    if not is_so:
        raise Failed(f"expected {what}")


FAULTS = {"redis-killed": redis_killed, "redis-full": redis_full, "redis-slow": redis_slow, "partition": partition, "one-session": one_session}
