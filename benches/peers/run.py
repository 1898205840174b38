#!/usr/bin/env python3
"""Compares rnnlm-server with ONNX Runtime, PyTorch and tract on the same weights, and over HTTP with FastAPI and a bare axum handler.

One command does it all: python3 benches/peers/run.py. It makes a virtual environment in target/peers, builds the program, writes the
networks, measures everything in turns, prints the tables and writes docs/performance.md. With --quick it takes a few minutes, measures little,
and leaves the page in target/peers.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
# Cargo.toml has these optimised less, which shortens the build; here tract is measured as its authors set it.
TRACT = ["tract-core", "tract-hir", "tract-nnef", "tract-onnx", "tract-onnx-opl"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small networks only, one round, short times")
    parser.add_argument("--work", type=Path, default=ROOT / "target/peers", help="folder for everything that is made")
    parser.add_argument("--venv", type=Path, help="a virtual environment with requirements.txt in it, instead of a new one")
    parser.add_argument("--rounds", type=int, default=15, help="times that each case is measured in each engine (default: 15)")
    parser.add_argument("--seconds", type=float, default=0.1, help="time of each measurement (default: 0.1)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    python = (args.venv or environment(args.work)).absolute() / "bin/python"
    if Path(sys.prefix) != python.parents[1]:
        os.execv(python, [str(python), *sys.argv])

    from compare import Comparison, Plan
    from report import page

    plan = Plan(args.work, args.rounds, args.seconds)
    if args.quick:
        plan = Plan(args.work, rounds=2, seconds=min(args.seconds, 0.1), largest=2_000_000)
    results = Comparison(plan, build()).run()
    text = page(results)
    print(text)
    target = args.work / "performance.md" if args.quick else ROOT / "docs/performance.md"
    target.write_text(text)
    print(f"wrote {target}", file=sys.stderr)


def environment(work: Path) -> Path:
    """A virtual environment with what is pinned in requirements.txt."""
    venv = work / "venv"
    pinned = (HERE / "requirements.txt").read_text()
    stamp = venv / "requirements.txt"
    if stamp.exists() and stamp.read_text() == pinned:
        return venv
    print(f"making {venv}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin/pip", "install", "--quiet", "--progress-bar", "off"]
    torch = next(line for line in pinned.splitlines() if line.startswith("torch=="))
    # Where PyTorch's own index is out of reach, the package of PyPI does as well, and is only larger.
    subprocess.run([*pip, "--index-url", CPU_WHEELS, torch], check=False)
    subprocess.run([*pip, "--requirement", HERE / "requirements.txt"], check=True)
    stamp.write_text(pinned)
    return venv


def build() -> dict[str, Path]:
    """Builds the program and the helper of this comparison; their paths by name."""
    import json

    command = ["cargo", "build", "--release", "--bin", "rnnlm-server", "--bench", "peers", "--message-format", "json"]
    command += [option for name in TRACT for option in ("--config", f"profile.release.package.{name}.opt-level=3")]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    programs = [message for message in messages if message.get("executable")]
    return {message["target"]["name"]: Path(message["executable"]) for message in programs}


if __name__ == "__main__":
    main()
