#!/usr/bin/env python3
"""Measures how long a server takes from its start to its first answer, and the memory that this takes.

    cargo build --release
    python3 benches/start.py [--runs N] [FOLDER ...]

Each folder is one for `--models`: that of one model, or of several. Medians; the files are in the page cache after the first run.
"""

import argparse
import http.client
import pathlib
import re
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", default=["models/classics", "models"],
                        help="what to load (default: models/classics models)")
    parser.add_argument("--runs", type=int, default=9, help="starts of each (default: %(default)s)")
    parser.add_argument("--server", default=ROOT / "target/release/rnnlm-server", help="the binary (default: %(default)s)")
    options = parser.parse_args()

    print("| Models | Listening, ms | First answer, ms | Peak memory, MB | Memory after it, MB |")
    print("|---|---:|---:|---:|---:|")
    for folder in options.folders:
        runs = [start(options.server, ROOT / folder) for _ in range(options.runs)]
        listening, answered, peak, after = map(statistics.median, zip(*runs))
        print(f"| `{folder}` | {1000 * listening:.0f} | {1000 * answered:.0f} | {peak / 1e6:.0f} | {after / 1e6:.0f} |")


def start(server, folder):
    """Seconds until the server listens, and until it has answered; its peak memory and its memory then, in bytes."""
    begin = time.perf_counter()
    command = [server, "serve", "--models", folder, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        address = process.stdout.readline().removeprefix("listening on http://").strip()
        listening = time.perf_counter() - begin
        connection = http.client.HTTPConnection(address)
        connection.request("POST", "/v1/next", '{"text": "the sea"}')
        answer = connection.getresponse()
        answer.read()
        answered = time.perf_counter() - begin
        if answer.status != 200:
            raise SystemExit(f"{folder}: the server answered with status {answer.status}")
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        process.terminate()
    return listening, answered, kilobytes(status, "VmHWM") * 1024, kilobytes(status, "VmRSS") * 1024


def kilobytes(status, field):
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1])


if __name__ == "__main__":
    main()
