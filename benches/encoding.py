#!/usr/bin/env python3
"""Measures the memory that encoding a long line with a `tokenizer.json` takes, for each byte of the line, and that its rules take.

    cargo build --release
    python3 benches/encoding.py

The difference between the peaks of two processes, whose lines are of 1 and 2 MiB. What is counted of the first table is, by the constants of
src/text/hugging_face/steps.rs, `TOKEN_BYTES` for each possible token and `PART_BYTES` for each part of the line; `RULE_BYTES` is an upper bound of the second
table. Only the standard library is needed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

from running import PROGRAM, ROOT, write_zeros

MEBIBYTE = 1 << 20
LINES = {
    "letters": "zqxjkvwy",
    "one-letter words": "z q x j ",
    "digits": "0123456789",
    "punctuation marks": "!?.,;:",
    "spaces": " ",
    "three bytes a character": "海老人の船星歌",
}

# Rules that make a text longer, a line for each, and the bytes that become of one. A second rule drops them, so that no token is left.
DROPPED = {"type": "Replace", "pattern": {"Regex": ".+"}, "content": ""}
RULES = [
    ({"type": "NFKC"}, "\ufdfa", 11),
    ({"type": "NFKC"}, "zqxjkvwy", 1),
    ({"type": "ByteLevel"}, "海老人の船星歌", 2),
    ({"type": "Lowercase"}, "ZQXJKVWY", 1),
    ({"type": "Replace", "pattern": {"String": "z"}, "content": "zqx" * 10}, "z", 30),
    ({"type": "Replace", "pattern": {"Regex": "z"}, "content": "zqx"}, "z", 3),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    options = parser.parse_args()
    print("| Tokenizer | Line of | Bytes for each byte |")
    print("|---|---|---:|")
    for file in sorted((ROOT / "tests/data").glob("tokenizer-*.json")):
        tokenizer = json.loads(file.read_text())
        if "model" not in tokenizer:
            continue
        for name, characters in LINES.items():
            print(f"| `{file.name}` | {name} | {growth(options.server, tokenizer, characters):.0f} |", flush=True)
    print("\n| Rule | Line of | Times as long | Bytes for each byte before and after |")
    print("|---|---|---:|---:|")
    tokenizer = json.loads((ROOT / "tests/data/tokenizer-byte-fallback.json").read_text())
    for rule, characters, times in RULES:
        tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [rule, DROPPED]}
        each = growth(options.server, tokenizer, characters) / (1 + times)
        print(f"| {rule['type']} | {characters.encode('ascii', 'backslashreplace').decode()} | {times} | {each:.0f} |", flush=True)


def growth(program, tokenizer, characters):
    """The bytes that a line takes for each of its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        write_model(pathlib.Path(folder), tokenizer)
        smaller, larger = (peak(program, folder, characters, size) for size in (MEBIBYTE, 2 * MEBIBYTE))
    return (larger - smaller) / MEBIBYTE


def write_model(folder, tokenizer):
    """A model of zeros for the tokenizer."""
    ids = [*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"])]
    size = max(ids) + 1
    shapes = {"encoder.weight": (size, 1), "rnn.weight_ih_l0": (1, 1), "rnn.weight_hh_l0": (1, 1), "decoder.weight": (size, 1)}
    write_zeros(folder / "model.safetensors", shapes)
    architecture = {"cell": "rnn_tanh", "vocab_size": size, "embedding_size": 1, "hidden_sizes": [1]}
    manifest = {"weights": "model.safetensors", "architecture": architecture, "tokenizer": {"kind": "huggingface", "file": "tokenizer.json"}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
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
