"""Writes a model that ships as a file with ONNX Runtime's dynamic quantisation, and the perplexities that ONNX Runtime gives.

    python tests/onnx/make/perplexity.py           # writes files/perplexity
    python tests/onnx/make/perplexity.py --check   # computes the perplexities again and compares them with the committed ones

The networks of the other families have random weights, to which any text is as unlikely as any other: quantisation can hardly harm them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

from case import normalised, session, write
from network import Network
from oracle import agree
from recurrent import Form, build

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parents[1] / "files/perplexity"

MODEL = "shakespeare-lstm"
NETWORK = Network("lstm", (512,), vocab_size=65, embedding_size=128)
TEXT = ROOT / "tests/data/shakespeare-test.txt"
TOKENS = 4096

# Between processors, relative: ONNX Runtime has other kernels on each.
TOLERANCE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        return check()
    floats = model()
    integers = quantised(floats)
    tokens = first_tokens()
    found = {"tokens": tokens.tolist(), "floats": perplexity(floats, tokens), "integers": perplexity(integers, tokens)}
    write(integers, {}, FOLDER / f"{MODEL}.onnx")
    (FOLDER / f"{MODEL}.json").write_text(json.dumps(found) + "\n")
    print(f"{MODEL}: perplexity {found['floats']:.5f} in floats, {found['integers']:.5f} in integers")


def check() -> None:
    committed = json.loads((FOLDER / f"{MODEL}.json").read_text())
    tokens = np.array(committed["tokens"])
    for key, file in (("floats", model()), ("integers", onnx.load(FOLDER / f"{MODEL}.onnx"))):
        agree(f"{MODEL} in {key}: the perplexity", np.array(perplexity(file, tokens)), np.array(committed[key]), TOLERANCE)
    print(f"{MODEL}: as committed")


def model() -> onnx.ModelProto:
    stored = load_file(ROOT / "models" / MODEL / "model.safetensors")
    return build(NETWORK, Form(), {name: tensor.astype(np.float32) for name, tensor in stored.items()})


def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        quantize_dynamic(before, after, weight_type=QuantType.QInt8, per_channel=True)
        return onnx.load(after)


def first_tokens() -> np.ndarray:
    """The ids of the first characters of the text."""
    entries = [json.loads(f'"{line}"') for line in (ROOT / "models" / MODEL / "vocab.txt").read_text().splitlines()]
    ids = {entry: token for token, entry in enumerate(entries)}
    return np.array([ids[char] for char in TEXT.read_text()[:TOKENS]], np.int64)


def perplexity(model: onnx.ModelProto, tokens: np.ndarray) -> float:
    """That of each token but the first, after all tokens before it, from the zero state."""
    zeros = np.zeros((1, 1, *NETWORK.hidden_sizes), np.float32)
    (logits,) = session(model).run(["y"], {"x": tokens[:-1, None], "h0": zeros, "c0": zeros})
    logprobs = normalised(logits.reshape(len(tokens) - 1, -1).astype(np.float64))
    return float(np.exp(-logprobs[np.arange(len(tokens) - 1), tokens[1:]].mean()))


if __name__ == "__main__":
    main()
