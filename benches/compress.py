#!/usr/bin/env python3
"""Compresses texts with models, `xz -9` and `zstd -19`, and prints the table of docs/compress.md.

    python3 benches/compress.py [--write docs/compress.md] target/release/rnnlm-server [TEXT ...]

Every file is decompressed again and compared. `--write` replaces the table of a page. Only the standard library, xz and zstd are needed.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = {
    "shakespeare-test.txt": ["shakespeare-lstm", "shakespeare-rnn"],
    "classics-test.txt": ["classics"],
}
HEAD = ["| Text | Compressed by | Bytes | Bits per character | kB/s | kB/s back |", "|---|---|---:|---:|---:|---:|"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the table of this page")
    parser.add_argument("program")
    parser.add_argument("texts", nargs="*", default=list(MODELS), metavar="TEXT")
    args = parser.parse_args()
    lines = list(HEAD)
    for text in args.texts:
        for line in rows(args.program, text):
            lines.append(line)
            print(line, flush=True)
    if args.write:
        write(args.write, lines)


def rows(program, text):
    """The lines of a text: each coder's bytes, bits per character, and speeds in thousands of bytes of the text per second of the processor."""
    path = ROOT / "tests/data" / text
    content = path.read_bytes()
    chars = len(content.decode())
    yield f"| `{text}` | nothing | {len(content):,} | {8 * len(content) / chars:.3f} | | |"
    for name, pack, unpack in coders(program, MODELS[text]):
        with tempfile.NamedTemporaryFile() as packed, tempfile.NamedTemporaryFile() as back:
            there = run(pack, path, packed)
            again = run(unpack, Path(packed.name), back)
            if Path(back.name).read_bytes() != content:
                raise SystemExit(f"{name}: {text} did not come back")
            size = Path(packed.name).stat().st_size
        speeds = " | ".join(f"{len(content) / seconds / 1000:,.1f}" for seconds in (there, again))
        yield f"| `{text}` | {name} | {size:,} | {8 * size / chars:.3f} | {speeds} |"


def coders(program, models):
    yield "`xz -9`", ["xz", "-9", "-c"], ["xz", "-d", "-c"]
    yield "`zstd -19`", ["zstd", "-19", "-q", "-c"], ["zstd", "-d", "-q", "-c"]
    for model in models:
        folder = ["--model", str(ROOT / "models" / model)]
        yield f"`{model}`", [program, "compress", *folder], [program, "decompress", *folder]


def run(command, source, target):
    """Runs a command and returns its seconds of the processor, the start of the program and the loading of the model included."""
    with source.open("rb") as stdin, open(target.name, "wb") as stdout:
        child = subprocess.Popen(command, stdin=stdin, stdout=stdout)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command[0]} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def write(page, table):
    lines = page.read_text(encoding="utf-8").splitlines()
    start = lines.index(next(line for line in lines if line.startswith("| Text | Compressed by")))
    end = next(index for index in range(start, len(lines) + 1) if index == len(lines) or not lines[index].startswith("|"))
    page.write_text("\n".join(lines[:start] + table + lines[end:]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
