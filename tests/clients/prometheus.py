"""Checks that Prometheus reads /metrics: a server of Prometheus scrapes it, and `promtool` finds nothing to complain of.

`promtool` reads Prometheus's own text format and not OpenMetrics, so the few lines in which the two differ are rewritten for it.

Run from the root of the repository, after `cargo build --release`; needs Debian's package `prometheus`:

    python tests/clients/prometheus.py
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training/tests"))

from server import post, serving  # noqa: E402

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# How long Prometheus may take to start and to scrape, in seconds.
PATIENCE = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/rnnlm-server")
    options = parser.parse_args()
    with serving(options.binary, ROOT / "models/shakespeare-rnn") as address, tempfile.TemporaryDirectory() as folder:
        post(f"{address}/v1/next", {"text": "KING"})
        complaints = lint(text(f"{address}/metrics"))
        print(f"promtool: {complaints or 'no complaint'}")
        scraped = scrape(address, pathlib.Path(folder))
        print(f"Prometheus: {scraped}")
    return int(bool(complaints) or scraped != "1")


def lint(metrics: str) -> str:
    """What `promtool` has to say of metrics."""
    ended = subprocess.run(["promtool", "check", "metrics"], input=in_text_format(metrics), capture_output=True, text=True, check=False)
    return (ended.stdout + ended.stderr).strip() or (f"exit code {ended.returncode}" if ended.returncode else "")


def in_text_format(metrics: str) -> str:
    """OpenMetrics as the older format has it: a counter is described under the name of its series, an info is a gauge, and nothing ends the text."""
    suffixes = {"counter": "_total", "info": "_info"}
    kinds = {name: kind for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", metrics, re.MULTILINE)}
    lines = []
    for line in metrics.removesuffix("# EOF\n").splitlines():
        described = re.fullmatch(r"# (TYPE|HELP) (\S+) (.*)", line)
        if described:
            name = described[2] + suffixes.get(kinds.get(described[2], ""), "")
            line = f"# {described[1]} {name} {'gauge' if described[1] == 'TYPE' and described[3] == 'info' else described[3]}"
        if not line.startswith("# UNIT "):
            lines.append(line)
    return "\n".join(lines) + "\n"


def scrape(address: str, folder: pathlib.Path) -> str:
    """The number of requests to `/v1/next` that Prometheus has found."""
    target = address.removeprefix("http://")
    job = {"job_name": "rnnlm", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    port = free_port()
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as prometheus:
        try:
            return counted(f"http://127.0.0.1:{port}") or f"nothing scraped: {(folder / 'log').read_text()[-1000:]}"
        finally:
            prometheus.terminate()


def counted(prometheus: str) -> str | None:
    """The value of the counter once it was scraped; None if it never was."""
    query = urllib.parse.urlencode({"query": 'rnnlm_http_requests_total{route="/v1/next",status="200"}'})
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            found = json.loads(text(f"{prometheus}/api/v1/query?{query}"))["data"]["result"]
        except OSError:
            found = []
        if found:
            return found[0]["value"][1]
        time.sleep(0.2)
    return None


def text(url: str) -> str:
    with OPENER.open(url, timeout=10) as answer:
        return answer.read().decode()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
