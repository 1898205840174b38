"""The comparison that every conversion must pass: a served model folder gives the probabilities of its source."""

from __future__ import annotations

import json
import math
import pathlib

import numpy

from rnnlm import folder as model_folder
from rnnlm.tokenizer import parse_vocabulary
from server import output

TOLERANCE = 1e-6


def assert_served_alike(binary: pathlib.Path, folder: pathlib.Path, ids: list[int], probs: numpy.ndarray) -> None:
    """`probs [len(ids), V]` is the source's distribution after each of `ids`, the first of which are the folder's initial tokens.

    The program scores the text of `ids`, and is asked for the whole distribution after it.
    """
    probs = numpy.asarray(probs, dtype=numpy.float64)
    assert numpy.ptp(probs, axis=1).min() > 0.05, "nearly uniform probabilities would not show a mistake"
    manifest = json.loads((folder / model_folder.MANIFEST).read_text(encoding="utf-8"))
    vocabulary = parse_vocabulary((folder / manifest["tokenizer"]["file"]).read_bytes().decode("utf-8"))
    initial = [vocabulary.index(entry) for entry in manifest["initial_tokens"]]
    assert ids[: len(initial)] == initial
    entries = [vocabulary[token_id] for token_id in ids[len(initial) :]]
    text = ("" if manifest["tokenizer"]["kind"] == "char" else " ").join(entries)

    path = folder.with_name(folder.name + ".txt")
    path.write_text(text, encoding="utf-8", newline="")
    scored = json.loads(output(binary, "score", "--model", folder, path, "--token-logprobs", "--json"))["results"][0]["token_logprobs"]
    assert [token["id"] for token in scored] == ids[len(initial) :]
    for position, token in enumerate(scored, start=len(initial)):
        if position == 0:
            assert token["logprob"] is None  # nothing precedes it
        else:
            assert abs(math.exp(token["logprob"]) - probs[position - 1, token["id"]]) < TOLERANCE, f"token {position}"

    listed = json.loads(output(binary, "next", "--model", folder, text, "--top-k", len(vocabulary), "--json"))["distribution"]
    assert sorted(entry["id"] for entry in listed) == list(range(len(vocabulary)))
    worst = max(abs(entry["prob"] - probs[-1, entry["id"]]) for entry in listed)
    assert worst < TOLERANCE
