"""docker/nginx/nginx.conf in front of three servers that share nothing, so that it shows which of them has answered."""

from __future__ import annotations

import contextlib
import pathlib
import re
import signal
import threading
from collections.abc import Iterator

import pytest
from clients import Client
from processes import ROOT, Nginx, Server, get, wait

SESSIONS = 60


@pytest.fixture
def servers(binary: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        options = ["--models", ROOT / "models/shakespeare-lstm"]
        yield [stack.enter_context(Server(f"replica-{number}", tmp_path, binary, *options)) for number in (1, 2, 3)]


@pytest.fixture
def client(servers: list[Server], tmp_path: pathlib.Path) -> Iterator[Client]:
    with Nginx(tmp_path, servers) as nginx:
        yield Client(nginx.address)


def test_requests_of_a_session_go_to_one_server_and_sessions_to_all(client: Client, servers: list[Server]):
    for number in range(SESSIONS):
        named = Client(client.address, headers={"x-session-id": f"s{number}"})
        named.expect(201, "POST", "/v1/sessions", {"text": "KING"})
        # The path says it too, and what it says counts.
        client.expect(200, "POST", f"/v1/sessions/s{number}/next", {"top_k": 1})
        named.expect(200, "POST", "/v1/completions", {"prompt": "a", "session_id": f"s{number}", "max_tokens": 2})
        other = Client(client.address, headers={"x-session-id": "other"})
        other.expect(200, "POST", f"/v1/sessions/s{number}/append", {"text": "a"})
    held = [len(Client(server.address).expect(200, "GET", "/v1/sessions?limit=1000")["data"]) for server in servers]
    assert sum(held) == SESSIONS
    # Places are as good as random. That one server has less than a twentieth would happen once in a million times.
    assert min(held) > SESSIONS / 20


def test_requests_without_a_session_are_spread(client: Client, servers: list[Server]):
    for _ in range(SESSIONS):
        client.expect(200, "POST", "/v1/next", {"text": "KING", "top_k": 1})
    answered = [counted(server, "/v1/next") for server in servers]
    assert sum(answered) == SESSIONS
    assert min(answered) > SESSIONS / 20


def test_a_dead_server_costs_no_request_that_it_has_not_begun(client: Client, servers: list[Server]):
    servers[0].kill()
    for number in range(SESSIONS):
        answer = client.send("POST", "/v1/sessions", {"id": f"s{number}"})
        assert answer.status == 201, answer.body
        assert client.send("POST", "/v1/next", {"text": "KING", "top_k": 1}).status == 200


def test_a_read_is_repeated_if_its_server_dies(client: Client, servers: list[Server]):
    answers: list[int] = []

    def read() -> None:
        answers.append(client.send("POST", "/v1/generate", {"text": "KING", "max_tokens": 1000, "seed": 1}).status)

    threads = [threading.Thread(target=read) for _ in range(40)]
    for thread in threads:
        thread.start()
    wait(lambda: b"rnnlm_requests_running 0\n" not in get(f"http://{servers[0].address}/metrics"), "a request at the first server")
    servers[0].kill()
    for thread in threads:
        thread.join()
    assert answers == [200] * len(threads)


def test_a_write_that_may_have_been_done_is_not_repeated(client: Client, servers: list[Server]):
    client.expect(201, "POST", "/v1/sessions", {"id": "s"})
    results: list[object] = []
    path = "/v1/sessions/s/generate"
    thread = threading.Thread(target=lambda: results.append(client.send("POST", path, {"max_tokens": 4000})))
    # `s` may have been created at one server and be looked for at another.
    named = Client(client.address, headers={"x-session-id": "s"})
    named.expect(201, "POST", "/v1/sessions", {"id": "s", "replace": True})
    thread.start()
    busy: list[Server] = []

    def runs() -> bool:
        busy[:] = [server for server in servers if b"rnnlm_requests_running 1\n" in get(f"http://{server.address}/metrics")]
        return bool(busy)

    wait(runs, "the write to run")
    busy[0].kill()
    thread.join()
    (answer,) = results
    assert answer.status == 502
    assert answer.headers["x-should-retry"] == "false"
    assert answer.body["error"]["type"] == "server_error"


def test_what_a_draining_server_refuses_is_done_by_another(client: Client, servers: list[Server]):
    path = "/v1/sessions/s/generate"
    direct = Client(servers[0].address)
    direct.expect(201, "POST", "/v1/sessions", {"id": "s"})
    seen: list[int] = []
    stream = threading.Thread(target=lambda: direct.stream(path, {"max_tokens": 4000}, seen.append))
    stream.start()
    wait(lambda: bool(seen), "the stream to begin")
    servers[0].child.send_signal(signal.SIGTERM)
    wait(lambda: get(f"http://{servers[0].address}/readyz") is None, "the drain")
    for number in range(SESSIONS // 3):
        assert client.send("POST", "/v1/next", {"text": "KING", "top_k": 1}).status == 200
        assert client.send("POST", "/v1/sessions", {"id": f"s{number}"}).status == 201
    stream.join()


def test_without_servers_clients_are_told_to_retry(client: Client, servers: list[Server]):
    for server in servers:
        server.kill()
    for path in ("/v1/next", "/v1/sessions", "/v1/score"):
        answer = client.send("POST", path, {"text": "KING"})
        assert (answer.status, answer.headers["retry-after"], answer.headers["x-should-retry"]) == (503, "1", "true")
        assert answer.body["error"]["type"] == "unavailable_error"
        assert answer.may_be_repeated()


def test_what_is_for_operators_is_not_passed_on(client: Client, servers: list[Server]):
    for path in ("/metrics", "/admin/drain"):
        assert get(f"http://{client.address}{path}") is None
    assert get(f"http://{servers[0].address}/metrics") is not None


def test_a_body_is_bounded_by_nginx_unless_it_is_read_in_pieces(client: Client):
    long = {"text": "KING " * (4 << 20)}
    by_nginx = client.send("POST", "/v1/next", long)
    assert (by_nginx.status, by_nginx.body["error"]["code"]) == (413, "body_too_large")
    assert "--max-body" not in by_nginx.body["error"]["message"]
    by_the_server = client.send("POST", "/v1/score", long)
    assert (by_the_server.status, by_the_server.body["error"]["code"]) == (413, "body_too_large")
    assert "--max-body" in by_the_server.body["error"]["message"]


def counted(server: Server, route: str) -> int:
    """Requests that a server has answered with 200."""
    page = get(f"http://{server.address}/metrics").decode()
    found = re.search(rf'^rnnlm_http_requests_total\{{route="{route}",method="POST",status="200"\}} (\d+)$', page, re.MULTILINE)
    return int(found[1]) if found else 0
