"""A rolling restart under load: servers end in order and start again, one after the other, while clients read, write and stream."""

from __future__ import annotations

import dataclasses
import threading
import time

from clients import Client, Cut, Failed
from processes import Nginx, Server

CLIENTS = 6
# Tokens of a stream: several times as long as it takes to read them, so that a restart meets some.
LENGTH = 200
# How long the load runs before, between and after restarts, in seconds.
PAUSE = 1.0


@dataclasses.dataclass
class Load:
    """A client that goes on until it is stopped."""

    session: str
    client: Client
    stopped: threading.Event
    requests: int = 0
    shut_down: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    def run(self) -> None:
        try:
            position = self.client.expect(201, "POST", "/v1/sessions", {"id": self.session, "text": "KING"})["position"]
            while not self.stopped.is_set():
                position = self.turn(position)
        except (Cut, Failed) as failed:
            self.failures.append(str(failed))

    def turn(self, position: int) -> int:
        """A read, a write and a stream. Returns where the session stands then."""
        path = f"/v1/sessions/{self.session}"
        self.client.expect(200, "POST", "/v1/next", {"text": "KING", "top_k": 1})
        self.client.expect(200, "POST", f"{path}/next", {"top_k": 1})
        append = {"text": "a", "expected_position": position}
        position = self.client.expect(200, "POST", f"{path}/append", append)["position"]
        seen: list[int] = []
        generate = {"max_tokens": LENGTH, "seed": 1, "expected_position": position}
        last = self.client.stream(f"{path}/generate", generate, seen.append)
        if last["event"] != "done":
            raise Failed(f"{path}/generate: {last}")
        reason = last["choices"][0]["finish_reason"]
        self.shut_down += reason == "shutdown"
        if last["session"]["position"] != position + len(seen) or (len(seen) < LENGTH and reason != "shutdown"):
            raise Failed(f"{path}/generate: {len(seen)} tokens from {position} on, then {last}")
        self.requests += 4
        return last["session"]["position"]


def restarts(nginx: Nginx, servers: list[Server], count: int) -> list[str]:
    """Restarts all servers in turn `count` times, and returns what went wrong."""
    stopped = threading.Event()
    loads = [Load(f"restart-{number}", Client(nginx.address), stopped) for number in range(CLIENTS)]
    threads = [threading.Thread(target=load.run) for load in loads]
    for thread in threads:
        thread.start()
    failures: list[str] = []
    for server in servers * count:
        time.sleep(PAUSE)
        code = server.terminate()
        if code != 0:
            failures.append(f"`{server.name}` ended with exit code {code}")
        server.start()
    time.sleep(PAUSE)
    stopped.set()
    for thread in threads:
        thread.join()
    failures += [failure for load in loads for failure in load.failures]
    requests = sum(load.requests for load in loads)
    repeated = sum(load.client.repeated for load in loads)
    shut_down = sum(load.shut_down for load in loads)
    if requests == 0:
        failures.append("no request was answered")
    print(f"restarts: {count} of each of {len(servers)}, {requests} requests, {len(failures)} failures; "
          f"{repeated} were repeated as told, {shut_down} streams were ended by the shutdown", flush=True)
    return failures
