"""The server's program, run as a user runs it."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import urllib.request
from collections.abc import Iterator


@contextlib.contextmanager
def serving(binary: pathlib.Path, models: pathlib.Path, *options: str) -> Iterator[str]:
    """Serves `models`, a model folder or a folder of them, on a free port, and yields the address."""
    command = [binary, "serve", "--strict", "--models", models, "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("listening on "), f"`{binary}` said {line!r}, expected where it listens"
            yield line.removeprefix("listening on ").rstrip()
        finally:
            process.kill()


def post(url: str, body: object) -> dict[str, object]:
    """The answer to a JSON request."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    # No proxy stands between a program and its own machine.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def output(binary: pathlib.Path, *arguments: object) -> str:
    """The standard output of a command, which must succeed."""
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def failure(binary: pathlib.Path, *arguments: object) -> str:
    """The standard error of a command, which must fail."""
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1, f"exit code {done.returncode}, expected 1"
    return done.stderr
