#!/usr/bin/env python3
"""Measures the memory that encoding a long line with a `tokenizer.json` takes, for each byte of the line.

    cargo build --release
    python3 benches/encoding.py

The difference between the peaks of two processes, whose lines are of 1 and 2 MiB: what `ENCODING_BYTES` of src/text/hugging_face.rs is an upper
bound of. Only the standard library is needed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

from running import PROGRAM, ROOT, write_zeros

MEBIBYTE = 1 << 20
LINES = {"letters": "zqxjkvwy", "one-letter words": "z q x j ", "digits": "0123456789", "three bytes a character": "海老人の船星歌"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    options = parser.parse_args()
    print("| Tokenizer | Line of | Bytes for each byte |")
    print("|---|---|---:|")
    for file in sorted((ROOT / "tests/data").glob("tokenizer-*.json")):
        if "model" not in json.loads(file.read_text()):
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_model(pathlib.Path(folder), file)
            for name, characters in LINES.items():
                smaller, larger = (peak(options.server, folder, characters, size) for size in (MEBIBYTE, 2 * MEBIBYTE))
                print(f"| `{file.name}` | {name} | {(larger - smaller) / MEBIBYTE:.0f} |", flush=True)


def write_model(folder, file):
    """A model of zeros for the tokenizer."""
    tokenizer = json.loads(file.read_text())
    ids = [*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"])]
    size = max(ids) + 1
    shapes = {"encoder.weight": (size, 1), "rnn.weight_ih_l0": (1, 1), "rnn.weight_hh_l0": (1, 1), "decoder.weight": (size, 1)}
    write_zeros(folder / "model.safetensors", shapes)
    architecture = {"cell": "rnn_tanh", "vocab_size": size, "embedding_size": 1, "hidden_sizes": [1]}
    manifest = {"weights": "model.safetensors", "architecture": architecture, "tokenizer": {"kind": "huggingface", "file": "tokenizer.json"}}
    (folder / "tokenizer.json").write_bytes(file.read_bytes())
    (folder / "config.json").write_text(json.dumps({"format_version": 1} | manifest))


def peak(program, folder, characters, size):
    """The most resident bytes of `tokenize` on a line of `size` bytes."""
    line = (characters * (size // len(characters.encode()) + 1)).encode()[:size].decode(errors="ignore")
    with tempfile.NamedTemporaryFile("w") as text:
        text.write(line)
        text.flush()
        child = subprocess.Popen([program, "tokenize", "--model", folder, text.name], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"`tokenize` ended with {child.returncode}")
    return usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
