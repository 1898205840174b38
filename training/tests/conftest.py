"""A tiny corpus and the public commands, run as a user runs them."""

import pathlib
import random
from types import ModuleType

import pytest

from rnnlm.errors import InputError

TINY = ["--embedding-size", "8", "--hidden-sizes", "8", "--batch-size", "4", "--window", "8", "--warmup-steps", "2"]


def run(command: ModuleType, *arguments: object) -> None:
    """One of the commands, in this process: starting Python and torch forty times would take minutes."""
    command.main(list(map(str, arguments)))


def refusal(command: ModuleType, *arguments: object) -> str:
    """The message with which a command refuses its input."""
    with pytest.raises(InputError) as caught:
        run(command, *arguments)
    return str(caught.value)


@pytest.fixture
def corpus(tmp_path: pathlib.Path) -> pathlib.Path:
    """A few hundred lines of made-up sentences."""
    draw = random.Random(1)
    words = ["the", "sea", "a", "ship", "don't", "sails", "“far”", "home", "he", "said"]
    lines = (" ".join(draw.choices(words, k=draw.randint(3, 9))) + "." for _ in range(300))
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
