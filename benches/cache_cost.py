#!/usr/bin/env python3
"""Measures what comparing a state of a cache costs, in the unit of `Cost` (src/lm/cost.rs): multiply-adds with weights of f32.

    cargo build --release
    python3 benches/cache_cost.py

Networks with weights of 0 score the same words without a cache and with windows of 500 and 2,000. The time without one, divided by what `Cost` counts, is
that of a unit; the difference between the two windows, divided by the states compared, is that of a state. A line through the widths splits it into a
constant and a part that grows with the width: `COMPARE_LOOKS` and `COMPARED_A_LOOK` of src/rnn/cost.rs. Times are those of the processor, not of the
clock, and the least of `--runs`. Only the standard library is needed.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile

from running import PROGRAM, write_zeros

VOCAB = 10_000
WIDTHS = (64, 256, 512, 1024)
WINDOWS = (500, 2000)
LOOK = 256  # as in src/rnn/cost.rs, for f32
# One turn reads the text as a whole, whatever its cost.
OPTIONS = {"RNNLM_FOLD_EMBEDDING": "off", "RNNLM_TURN_STEPS_IDLE": "100000", "RNNLM_TURN_TIME": "1h"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=PROGRAM, help="the binary (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=6000, help="of the text (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="(default: %(default)s)")
    options = parser.parse_args()
    print("| Width | A unit, ps | A state, ns | A state, looks |")
    print("|---:|---:|---:|---:|")
    found = {}
    for width in WIDTHS:
        with tempfile.TemporaryDirectory() as folder:
            write_model(pathlib.Path(folder), width)
            none = seconds(options, folder, None) - seconds(options, folder, None, tokens=10)
            narrow, wide = (seconds(options, folder, window) for window in WINDOWS)
        # A score sums the logits up, without a draw: a sixth of a look.
        unit = none / options.tokens / (2 * width * width + VOCAB * (width + LOOK / 6))
        state = (wide - narrow) / (compared(options.tokens, WINDOWS[1]) - compared(options.tokens, WINDOWS[0]))
        found[width] = state / unit / LOOK
        print(f"| {width} | {1e12 * unit:.1f} | {1e9 * state:.0f} | {found[width]:.1f} |", flush=True)
    slope, constant = statistics.linear_regression(found.keys(), found.values())
    print(f"\n{constant:.1f} looks, and one for each {1 / slope:.0f} values")


def write_model(folder, width):
    shapes = {
        "encoder.weight": (VOCAB, width), "rnn.weight_ih_l0": (width, width), "rnn.weight_hh_l0": (width, width), "decoder.weight": (VOCAB, width),
    }
    write_zeros(folder / "model.safetensors", shapes)
    (folder / "vocab.txt").write_text("\n".join(f"w{index}" for index in range(VOCAB)))
    architecture = {"cell": "rnn_tanh", "vocab_size": VOCAB, "embedding_size": width, "hidden_sizes": [width]}
    manifest = {"format_version": 1, "weights": "model.safetensors", "architecture": architecture,
                "tokenizer": {"kind": "whitespace", "file": "vocab.txt"}}
    (folder / "config.json").write_text(json.dumps(manifest))


def seconds(options, folder, window, tokens=None):
    """Processor time of `score`, in user mode."""
    draw = random.Random(1)
    text = " ".join(f"w{draw.randrange(VOCAB)}" for _ in range(tokens or options.tokens))
    command = [options.server, "score", "--model", folder, "-"]
    if window:
        command.append(f"--cache=window={window},theta=0.3,lambda=0.1")
    times = []
    for _ in range(options.runs):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=os.environ | OPTIONS)
        child.stdin.write(text.encode())
        child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"`score` ended with {child.returncode}")
        times.append(usage.ru_utime)
    return min(times)


def compared(tokens, window):
    """States that the cache compares at all positions."""
    return sum(min(position, window) for position in range(tokens))


if __name__ == "__main__":
    main()
