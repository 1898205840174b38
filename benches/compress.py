#!/usr/bin/env python3
"""Compresses texts with models, `xz -9` and `zstd -19`, and prints a table of bits per character for docs/compress.md.

    python3 benches/compress.py target/release/rnnlm-server [TEXT ...]

Every file is decompressed again and compared. Only the standard library, xz and zstd are needed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = {
    "classics-test.txt": ["classics", "classics-gru", "classics-rnn"],
    "shakespeare-test.txt": ["shakespeare-lstm", "shakespeare-rnn"],
}


def main(program, *texts):
    print("| Text | Compressed by | Bytes | Bits per character |")
    print("|---|---|---|---|")
    for text in texts or MODELS:
        path = ROOT / "tests/data" / text
        chars = len(path.read_text(encoding="utf-8"))
        print(f"| `{text}` | nothing | {path.stat().st_size:,} | {8 * path.stat().st_size / chars:.3f} |")
        for name, pack, unpack in coders(program, MODELS[text]):
            with tempfile.NamedTemporaryFile() as packed, tempfile.NamedTemporaryFile() as back:
                run(pack, path, packed)
                run(unpack, Path(packed.name), back)
                if Path(back.name).read_bytes() != path.read_bytes():
                    raise SystemExit(f"{name}: {text} did not come back")
                size = Path(packed.name).stat().st_size
            bits = 8 * size / chars
            print(f"| `{text}` | {name} | {size:,} | {bits:.3f} |", flush=True)


def coders(program, models):
    yield "`xz -9`", ["xz", "-9", "-c"], ["xz", "-d", "-c"]
    yield "`zstd -19`", ["zstd", "-19", "-q", "-c"], ["zstd", "-d", "-q", "-c"]
    for model in models:
        folder = ["--model", str(ROOT / "models" / model)]
        yield f"`{model}`", [program, "compress", *folder], [program, "decompress", *folder]


def run(command, source, target):
    with source.open("rb") as stdin, open(target.name, "wb") as stdout:
        subprocess.run(command, stdin=stdin, stdout=stdout, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
