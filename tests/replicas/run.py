"""Kills and restarts servers behind nginx while clients use them, and checks that no session is lost and nothing continues otherwise than undisturbed.

Run from the root of the repository, after `cargo build --release`; needs Debian's packages `nginx-light` and, for replicas, `redis-server`:

    python tests/replicas/run.py --kills 100 --restarts 3            three replicas, which share their sessions through Redis
    python tests/replicas/run.py --store file --kills 100            one server with its sessions in a file

nginx has the configuration of docker/compose.yaml. The seed that is printed makes the same kills again.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import random
import sys
import tempfile
import time

from kills import kills
from processes import ROOT, Nginx, Redis, Server
from restarts import restarts

MODEL = ROOT / "models/shakespeare-rnn"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5, help="how often a server is killed in mid-stream (default: %(default)s)")
    parser.add_argument("--restarts", type=int, default=1, help="how often all servers are restarted in turn (default: %(default)s)")
    parser.add_argument("--store", choices=("redis", "file"), default="redis", help="where sessions are kept (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of what is killed, and when")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/rnnlm-server")
    options = parser.parse_args()
    print(f"--store {options.store} --seed {options.seed}", flush=True)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        undisturbed = stack.enter_context(Server("undisturbed", folder, options.binary, "--models", MODEL))
        servers = topology(options, folder, stack)
        nginx = stack.enter_context(Nginx(folder, servers))
        failures = kills(nginx, servers, undisturbed, options.kills, random.Random(options.seed))
        failures += restarts(nginx, servers, options.restarts)
    for failure in failures:
        print(f"FAILED: {failure}")
    return int(bool(failures))


def topology(options: argparse.Namespace, folder: pathlib.Path, stack: contextlib.ExitStack) -> list[Server]:
    """Running servers that store everything before they answer."""
    if options.store == "redis":
        redis = stack.enter_context(Redis(folder))
        stores = [redis.url] * 3
    else:
        stores = [f"file:{folder}/sessions"]
    servers = []
    for number, store in enumerate(stores, 1):
        server = Server(f"replica-{number}", folder, options.binary, "--models", MODEL, "--session-store", store, "--store-flush", "0s")
        servers.append(stack.enter_context(server))
    return servers


if __name__ == "__main__":
    sys.exit(main())
