"""A tiny corpus, and the public commands as a user runs them."""

import json
import os
import pathlib
import random
from types import ModuleType

import pytest

from rnnlm.errors import InputError

REPOSITORY = pathlib.Path(__file__).parents[2]
# A rule whose vocabulary must cover every text: it has no `unk`.
CHARACTERS = REPOSITORY / "training/tokenizers/characters.json"
TINY = ["--embedding-size", "8", "--hidden-sizes", "8", "--batch-size", "4", "--window", "8", "--warmup-steps", "2"]


def run(command: ModuleType, *arguments: object) -> None:
    """Runs a command in this process: starting Python and torch forty times would take minutes."""
    command.main(list(map(str, arguments)))


def refusal(command: ModuleType, *arguments: object) -> str:
    """The message with which a command refuses its input."""
    with pytest.raises(InputError) as caught:
        run(command, *arguments)
    return str(caught.value)


def architecture(folder: pathlib.Path) -> dict[str, object]:
    """What the manifest of a model folder says of the network."""
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["architecture"]


@pytest.fixture
def words(tmp_path: pathlib.Path) -> pathlib.Path:
    """The vocabulary of the networks in torch_sources.py, one word a line."""
    from torch_sources import WORDS  # PyTorch takes long to import, and few tests need it

    path = tmp_path / "words.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: pathlib.Path) -> pathlib.Path:
    """A few hundred lines of made-up sentences."""
    draw = random.Random(1)
    words = ["the", "sea", "a", "ship", "don't", "sails", "“far”", "home", "he", "said"]
    lines = (" ".join(draw.choices(words, k=draw.randint(3, 9))) + "." for _ in range(300))
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def server_binary() -> pathlib.Path:
    """The server's program: the one that `RNNLM_SERVER` names, or the one that `cargo build --release` built."""
    target = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")
    binary = REPOSITORY / os.environ.get("RNNLM_SERVER", target / "release/rnnlm-server")
    if not binary.is_file():
        lacking = f"found no `{binary}`, which `cargo build --release` builds; RNNLM_SERVER can name another"
        pytest.fail(lacking) if os.environ.get("CI") == "true" else pytest.skip(lacking)
    return binary
