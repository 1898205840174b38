"""The processes of `docker/compose.yaml`, run from Debian's packages: servers, Redis, nginx and Prometheus, with its configuration files.

Only addresses and folders differ from the files, and each file must hold what is replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
# How long a process may take to start or to end, in seconds.
PATIENCE = 60.0
# No proxy of the environment stands between a program and its own machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """A child process whose output goes to a file. It ends with the block that it is used in."""

    def __init__(self, name: str, folder: pathlib.Path, command: list[object]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.command = [str(part) for part in command]
        self.environment: dict[str, str] = {}
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        with self.log.open("ab") as log:
            # Debian has nginx and others where only root's PATH leads.
            environment = {**os.environ, **self.environment, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        wait(self.is_ready, f"`{self.name}` to become ready", self)

    def is_ready(self) -> bool:
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL: nothing is written, nobody is told."""
        self.child.kill()
        self.child.wait()

    def terminate(self) -> int:
        """Ends it in order, and returns its exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE)


class Server(Process):
    """A server at a port that it keeps when it is restarted."""

    def __init__(self, name: str, folder: pathlib.Path, binary: pathlib.Path, *options: object) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        super().__init__(name, folder, [binary, "serve", "--strict", "--listen", self.address, *options])

    def is_ready(self) -> bool:
        return get(f"http://{self.address}/readyz") is not None


class Redis(Process):
    """Redis without files."""

    def __init__(self, folder: pathlib.Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", folder, *options]
        super().__init__("redis", folder, command)

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
        return False


class Nginx(Process):
    """nginx with `docker/nginx/nginx.conf` in front of servers. With fewer than three, some of its places are the same server."""

    def __init__(self, folder: pathlib.Path, servers: list[Server]) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        text = (ROOT / "docker/nginx/nginx.conf").read_text()
        for number in (1, 2, 3):
            line = f"server replica-{number}:8080 "
            here = f"server {servers[number - 1].address} " if number <= len(servers) else "#"
            text = replaced(text, line, here)
        text = replaced(text, "listen 8080;", f"listen {self.address};")
        text = replaced(text, "/tmp/", f"{folder}/")
        (folder / "nginx.conf").write_text(text)
        # As root, nginx gives its workers a user of their own, who cannot write to this folder.
        directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
        super().__init__("nginx", folder, ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr", "-g", directives])

    def is_ready(self) -> bool:
        return get(f"http://{self.address}/nginx/livez") is not None

    def kill(self) -> None:
        # The workers end with their master only if it is asked.
        self.terminate()


class Prometheus(Process):
    """Prometheus with `docker/prometheus`, which scrapes every second."""

    def __init__(self, folder: pathlib.Path, servers: list[Server]) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        text = (ROOT / "docker/prometheus/prometheus.yml").read_text()
        targets = json.dumps([server.address for server in servers])
        text = replaced(text, '["replica-1:9090", "replica-2:9090", "replica-3:9090"]', targets)
        text = replaced(text, "scrape_interval: 15s", "scrape_interval: 1s")
        text = replaced(text, "evaluation_interval: 15s", "evaluation_interval: 1s")
        (folder / "prometheus.yml").write_text(text)
        (folder / "alerts.yml").write_text((ROOT / "docker/prometheus/alerts.yml").read_text())
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/series",
                   f"--web.listen-address={self.address}"]
        super().__init__("prometheus", folder, command)

    def is_ready(self) -> bool:
        return get(f"http://{self.address}/-/ready") is not None

    def query(self, expression: str) -> list[dict[str, object]]:
        """What an expression gives now."""
        url = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with OPENER.open(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]


def wait(is_so: Callable[[], bool], what: str, process: Process | None = None) -> None:
    """Waits until something is so."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        ended = process is not None and process.child.poll() is not None
        if ended or time.monotonic() > end:
            said = f"; it said: {process.log.read_text()[-2000:]}" if process else ""
            raise SystemExit(f"waited in vain for {what}{said}")
        time.sleep(0.02)


def get(url: str) -> bytes | None:
    """The body of a successful answer; None if there is none."""
    with contextlib.suppress(OSError), OPENER.open(url, timeout=2) as answer:
        return answer.read()
    return None


def replaced(text: str, old: str, new: str) -> str:
    """The text with `new` in every place of `old`, of which there must be one."""
    if old not in text:
        raise SystemExit(f"expected {old!r} in the configuration")
    return re.sub(re.escape(old), lambda _: new, text)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
