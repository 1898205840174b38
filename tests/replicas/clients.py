"""A client as docs/sessions.md tells one to be: it repeats what it is told to retry, and continues a write that was cut short from where its session stands."""

from __future__ import annotations

import dataclasses
import http.client
import json
import time
from collections.abc import Callable

# How long a client repeats one request, in seconds. A dead replica's claim on a session ends within it.
PATIENCE = 60.0


class Failed(Exception):
    """A request failed, and its client was not told to retry."""


class Cut(Exception):
    """An answer ended before it was whole, or its fate is not known: it may have been done."""


@dataclasses.dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage
    body: dict[str, object]

    def may_be_repeated(self) -> bool:
        """Whether the server says that the request was not done and may be sent again."""
        if self.headers["x-should-retry"] is not None:
            return self.headers["x-should-retry"] == "true"
        return self.status in {429, 503} and self.headers["retry-after"] is not None


@dataclasses.dataclass
class Client:
    """Sends requests, each on a connection of its own, and counts what it was told to retry."""

    address: str
    repeated: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def send(self, method: str, path: str, body: object = None) -> Answer:
        """Sends a request once."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, kind(body) | self.headers)
            answer = connection.getresponse()
            text = answer.read()
            return Answer(answer.status, answer.headers, json.loads(text or b"{}"))
        except ValueError as error:
            raise Cut(f"{method} {path}: status {answer.status}, expected JSON, found {text[:200]!r}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Cut(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Sends a request, and again whenever the answer says so."""
        end = time.monotonic() + PATIENCE
        while (answer := self.send(method, path, body)).may_be_repeated():
            if time.monotonic() > end:
                raise Failed(f"{method} {path}: told to retry for {PATIENCE:.0f} s, at last with {answer.status}: {answer.body}")
            self.repeated += 1
            time.sleep(0.05)
        return answer

    def expect(self, status: int, method: str, path: str, body: object = None) -> dict[str, object]:
        """The body of an answer that must have a status."""
        answer = self.ask(method, path, body)
        if answer.status != status:
            raise Failed(f"{method} {path}: status {answer.status}, expected {status}: {answer.body}")
        return answer.body

    def stream(self, path: str, body: dict[str, object], on_token: Callable[[int], None]) -> dict[str, object]:
        """Generates in a stream, gives the id of each token to `on_token`, and returns the last event."""
        end = time.monotonic() + PATIENCE
        while True:
            connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
            try:
                connection.request("POST", path, json.dumps(body | {"stream": True}), kind(body) | self.headers)
                answer = connection.getresponse()
                if answer.status == 200:
                    return last_event(answer, on_token)
                refused = Answer(answer.status, answer.headers, json.loads(answer.read() or b"{}"))
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Cut(f"{path}: {error!r}") from error
            finally:
                connection.close()
            if refused.status == 502:
                raise Cut(f"{path}: {refused.body}")
            if not refused.may_be_repeated() or time.monotonic() > end:
                raise Failed(f"{path}: status {refused.status}: {refused.body}")
            self.repeated += 1
            time.sleep(0.05)


def kind(body: object) -> dict[str, str]:
    return {"content-type": "application/json"} if body is not None else {}


def last_event(answer: http.client.HTTPResponse, on_token: Callable[[int], None]) -> dict[str, object]:
    """Reads server-sent events to the last one."""
    name = None
    while line := answer.readline():
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = json.loads(value)
            if name == "token":
                on_token(data["id"])
            elif name in {"done", "error"}:
                return {"event": name} | data
    raise Cut("the stream has no last event")
