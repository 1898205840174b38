"""A server and a browser that shows its page."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("RNNLM_BINARY", ROOT / "target/release/rnnlm-server"))
CHROMIUM = shutil.which("chromium")
# Not every user has its folder in PATH.
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
# What docs/page.md tells nginx.
LOCATION = re.compile(r"^```nginx prefix\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PREFIX = "/lm/"

# What is waited for at most. A machine that runs other checks beside this one is slow.
PATIENCE_MS = 30_000


def free_address() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % free.getsockname()[1]


class Server:
    """A server that can be stopped and started again at the same address."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.address = free_address()
        self.url = f"http://{self.address}/"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [BINARY, "serve", "--strict", "--models", ROOT / "models", "--listen", self.address, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), f"`{BINARY}` said {line!r}, expected where it listens"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def serving(*options: str) -> Iterator[Server]:
    """A server of the models that ship."""
    server = Server(*options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def proxying(server: Server, folder: pathlib.Path) -> Iterator[str]:
    """Nginx in front of `server` as docs/page.md has it, with its files in `folder`; yields the address of the page behind it."""
    address = free_address()
    page = (ROOT / "docs/page.md").read_text(encoding="utf-8")
    location = LOCATION.search(page)[1].replace("127.0.0.1:8080", server.address)
    kept = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    http = f"access_log off; {kept}\nserver {{ listen {address};\n{location}}}"
    configuration = folder / "nginx.conf"
    # One process, which can write into `folder` as this one can.
    configuration.write_text(f"master_process off;\npid {folder}/pid;\nerror_log {folder}/errors;\nevents {{}}\nhttp {{ {http} }}\n", encoding="utf-8")
    command = [NGINX, "-p", folder, "-e", folder / "errors", "-c", configuration]
    # It listens before it leaves the terminal.
    subprocess.run(command, check=True)
    try:
        yield f"http://{address}{PREFIX}"
    finally:
        subprocess.run([*command, "-s", "stop"], check=True)


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Debian's Chromium. Its sandbox needs rights that a container seldom has; it shows only this repository's page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, **options: object) -> Page:
    """A page in a context of its own: no text, no language and no theme remembered."""
    context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}, "locale": "en-US"} | options))
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page
