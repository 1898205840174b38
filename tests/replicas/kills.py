"""`kill -9` in mid-stream: streams run on many sessions, one server is killed, and every session is continued from where it stands.

What each stream should have given is known from a server that nobody disturbs: with the same seed it draws the same tokens.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time

from clients import Client, Cut, Failed
from processes import Nginx, Server

SESSIONS = 6
# Tokens of each stream. A server is killed when every stream has sent some and none has sent all.
LENGTH = 400
KILL_BEFORE = 150


@dataclasses.dataclass
class Stream:
    """A generation on a session, and what its client has of it."""

    session: str
    prompt: str
    seed: int
    # What an undisturbed server generates.
    expected: list[int] = dataclasses.field(default_factory=list)
    # Where the session stood when the stream began.
    begin: int = 0
    seen: list[int] = dataclasses.field(default_factory=list)
    cut: str | None = None
    failure: str | None = None

    def run(self, client: Client) -> None:
        """Streams until the end, or until the server is killed."""
        body = {"max_tokens": LENGTH, "seed": self.seed, "expected_position": self.begin}
        try:
            client.stream(f"/v1/sessions/{self.session}/generate", body, self.seen.append)
        except Cut as cut:
            self.cut = str(cut)
        except Failed as failed:
            self.failure = str(failed)

    def go_on(self, client: Client) -> None:
        """Continues from where the session stands, as a client does that was cut off, and compares with the undisturbed stream."""
        path = f"/v1/sessions/{self.session}"
        stored = client.expect(200, "GET", path)["position"] - self.begin
        if stored < len(self.seen):
            raise Failed(f"{self.session}: {len(self.seen)} tokens were seen and {stored} are stored")
        rest: list[int] = []
        if stored < LENGTH:
            body = {"max_tokens": LENGTH - stored, "seed": self.seed, "expected_position": self.begin + stored}
            client.stream(f"{path}/generate", body, rest.append)
        if self.seen != self.expected[:len(self.seen)]:
            raise Failed(f"{self.session}: differs before the kill")
        if rest != self.expected[stored:]:
            raise Failed(f"{self.session}: differs after the kill, from {stored} of {LENGTH} tokens on")
        end = client.expect(200, "GET", path)["position"]
        if end != self.begin + LENGTH:
            raise Failed(f"{self.session}: stands at {end}, expected {self.begin + LENGTH}")


def kills(nginx: Nginx, servers: list[Server], undisturbed: Server, count: int, rng: random.Random) -> list[str]:
    """Kills a server `count` times, and returns what went wrong. A kill counts if it cut a stream."""
    failures: list[str] = []
    done = cut = rounds = repeated = 0
    begin = time.monotonic()
    while done < count and not failures:
        rounds += 1
        client = Client(nginx.address)
        streams = started(client, Client(undisturbed.address), rounds, rng)
        victim = rng.choice(servers)
        kill_in_mid_stream(nginx, streams, victim, rng.randrange(KILL_BEFORE))
        if len(servers) == 1:
            victim.start()
        failures += [stream.failure for stream in streams if stream.failure]
        for stream in streams:
            try:
                stream.go_on(client)
            except (Cut, Failed) as failed:
                failures.append(str(failed))
        if len(servers) > 1:
            victim.start()
        of_round = sum(stream.cut is not None for stream in streams)
        cut += of_round
        done += of_round > 0
        repeated += client.repeated
        if rounds > 3 * count + 10:
            failures.append(f"{rounds} kills met a stream {done} times only")
    print(f"kills: {done} that cut {cut} of {rounds * SESSIONS} streams, {len(failures)} failures; "
          f"{repeated} requests were repeated as told; {time.monotonic() - begin:.0f} s", flush=True)
    return failures


def started(client: Client, undisturbed: Client, number: int, rng: random.Random) -> list[Stream]:
    """New sessions, each with what it should generate."""
    streams = []
    for index in range(SESSIONS):
        stream = Stream(f"kill-{number}-{index}", "".join(rng.choices("KING HENRY", k=12)), rng.randrange(2**53))
        body = {"text": stream.prompt, "max_tokens": LENGTH, "seed": stream.seed}
        stream.expected = undisturbed.expect(200, "POST", "/v1/generate", body)["choices"][0]["tokens"]
        stream.begin = client.expect(201, "POST", "/v1/sessions", {"id": stream.session, "text": stream.prompt})["position"]
        streams.append(stream)
    return streams


def kill_in_mid_stream(nginx: Nginx, streams: list[Stream], victim: Server, seen: int) -> None:
    """Kills `victim` as soon as each stream has sent more than `seen` tokens, and waits until all have ended."""
    threads = [threading.Thread(target=stream.run, args=(Client(nginx.address),)) for stream in streams]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if all(len(stream.seen) > seen for stream in streams):
            break
        time.sleep(0.0005)
    victim.kill()
    for thread in threads:
        thread.join()
