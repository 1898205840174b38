#!/usr/bin/env python3
"""Fills the memory of a server: its table of sessions first, and then with the largest requests of each kind, many at once.

    docker/pressure.py HOST:PORT

Fails if the server does not answer each of them, with a result or with a reason to refuse it, and a small request beside them.
`docker/smoke.sh` runs it against the container with the memory that `docker/compose.yaml` gives it. Only the standard library is needed.
"""

import collections
import concurrent.futures
import json
import pathlib
import sys
import threading

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "benches"))
from peak import kinds
from running import Client

SESSIONS_MAX = 10_000
# What may be answered: a result, a list that is too long, too large, not to be processed, too much at once, no room, not done in its time.
ANSWERS = {200, 400, 413, 422, 429, 503, 504}


def main() -> None:
    client = Client(sys.argv[1])
    sessions = fill(client)
    is_over = threading.Event()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        beside = pool.submit(ask, client, is_over)
        try:
            attacked = attack(client)
        finally:
            is_over.set()
        asked = beside.result()
    left = client.metric("rnnlm_sessions")
    print(f"{sessions} sessions filled the table, {attacked.total()} large requests were answered with {dict(sorted(attacked.items()))},"
          f" {asked} small ones beside them with 200; {left:.0f} sessions are left")


def fill(client):
    """Creates large sessions until the table has no room for all of them; their number."""
    words = [{"text": f"{number:0>12}", "weight": 1} for number in range(10_000)]
    for number in range(SESSIONS_MAX):
        status, answer = client.post("/v1/sessions", {"id": f"pressure-{number}", "text": "the sea", "extra_words": words})
        if status != 201:
            raise SystemExit(f"found {status} to a new session, expected 201: {answer[:300]}")
        if client.metric("rnnlm_sessions_closed_total") > 0:
            return number
    raise SystemExit(f"the table is not full with {SESSIONS_MAX} sessions")


def attack(client):
    """How often each status was the answer."""
    limit = json.loads(client.get("/v1/info"))["limits"]["max_body_bytes"]
    statuses = collections.Counter()
    for name, path, body, count in kinds(limit):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            found = collections.Counter(status for status, _ in pool.map(lambda _: client.post(path, body), range(count)))
        if not found.keys() <= ANSWERS:
            raise SystemExit(f"{name}: found {dict(found)}, expected {sorted(ANSWERS)}")
        statuses += found
    return statuses


def ask(client, is_over):
    """How many small requests were answered until then, one after the other."""
    count = 0
    while not is_over.wait(0.1):
        status, answer = client.post("/v1/next", {"text": "the sea", "top_k": 1})
        if status != 200:
            raise SystemExit(f"found {status} to a small request, expected 200: {answer[:300]}")
        count += 1
    return count


if __name__ == "__main__":
    main()
