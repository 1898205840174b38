"""From a text to a served model by the commands of the README, each in its own process; and the numbers of served models."""

from __future__ import annotations

import json
import math
import pathlib
import shlex
import subprocess
import sys

import pytest
import torch

import evaluate
import export
import train
from conftest import REPOSITORY, TINY, run
from rnnlm import reading
from server import output, post, serving

# Relative, of perplexities.
TOLERANCE = 5e-7


def commands_of_the_readme() -> list[list[str]]:
    """The README's block that is marked `training`."""
    (block,) = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("\n```sh training\n")[1:]
    return [shlex.split(command) for command in block.partition("\n```")[0].splitlines()]


def test_text_to_served_model_in_the_three_commands_of_the_readme(server_binary, corpus, tmp_path):
    (tmp_path / "training").symlink_to(REPOSITORY / "training")
    learn, export_it, serve = commands_of_the_readme()
    assert (learn[0], export_it[0], serve[:5]) == (".venv/bin/python", ".venv/bin/python", ["cargo", "run", "--release", "--", "serve"])
    # All to the letter, but not for half an hour.
    learn[learn.index("--time-limit") + 1] = "3"
    assert corpus.name in learn and corpus.parent == tmp_path
    for command in (learn, export_it):
        subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True)
    with serving(server_binary, tmp_path / "models", *serve[5:]) as url:
        answer = post(f"{url}/v1/next", {"text": "he said the", "full": True})
    assert answer["model"] == "mine"
    assert abs(sum(map(math.exp, answer["logprobs"])) - 1.0) < 1e-6
    assert (answer["position"], answer["unknown_count"]) == (3, 0)


CASES = {
    "word lstm": ["--tie-weights"],
    "word gru": ["--cell", "gru", "--hidden-sizes", 8, 12],
    "word rnn_tanh": ["--cell", "rnn_tanh", "--vocab-size", 9],
    "whitespace rnn_relu": ["--cell", "rnn_relu", "--vocabulary", "whitespace"],
    "char lstm": ["--vocabulary", "char"],
    "bpe gru": ["--cell", "gru", "--vocabulary", "bpe", "--vocab-size", 290],
}


# Networks that read a window are stored as ONNX graphs whatever the format.
STORED = [(case, stored) for case in CASES for stored in ("--dtype f32", "--dtype bf16", "--format onnx")]
CASES |= {
    "word ffn": ["--cell", "ffn", "--context", 3, "--tie-weights"],
    "word cbow": ["--cell", "cbow", "--context", 3],
}
STORED += [("word ffn", "--dtype f32"), ("word cbow", "--dtype f16")]


@pytest.mark.parametrize(("case", "stored"), STORED)
def test_served_numbers_are_those_of_pytorch(server_binary, corpus, tmp_path, capsys, case, stored):
    run(train, "--out", tmp_path / "run", "--train", corpus, *TINY, *CASES[case], "--steps", 30)
    test = tmp_path / "run/test.txt"
    run(export, tmp_path / "run/last.pt", tmp_path / "mine", "--test", test, *stored.split())
    compare_scores(server_binary, tmp_path / "mine", test, capsys)
    compare_distributions(server_binary, tmp_path / "mine", "he said the “far” sea.\nA ship")


def compare_scores(binary: pathlib.Path, model: pathlib.Path, test: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    """`rnnlm-server score` and evaluate.py on one text."""
    capsys.readouterr()
    run(evaluate, model, test)
    expected = json.loads(capsys.readouterr().out)
    found = json.loads(output(binary, "score", "--json", "--model", model, test))["total"]
    for count in ("scored_count", "unknown_count", "char_count"):
        assert found[count] == expected[count], count
    for figure in ("logprob", "perplexity", "bits_per_token", "bits_per_char"):
        assert found[figure] == pytest.approx(expected[figure], rel=TOLERANCE, abs=0.0), figure


@torch.no_grad()
def compare_distributions(binary: pathlib.Path, model: pathlib.Path, text: str) -> None:
    """The whole vocabulary's log-probabilities after a text, over HTTP, and PyTorch's in float64."""
    network, tokenizer = reading.read(model)
    text = "".join(c for c in text if tokenizer.rule.kind != "char" or c in tokenizer.ids)
    network, ids = network.double(), torch.tensor(tokenizer.initial_ids() + tokenizer.encode(text))
    outputs, _ = network(ids[:, None], network.zero_state(1))
    expected = network.decoder(outputs[-1, 0]).log_softmax(0).tolist()
    with serving(binary, model) as url:
        answer = post(f"{url}/v1/next", {"text": text, "full": True})
    assert answer["unknown_count"] == sum(token_id == tokenizer.unk_id for token_id in tokenizer.encode(text))
    assert answer["logprobs"] == pytest.approx(expected, rel=0.0, abs=1e-5)
