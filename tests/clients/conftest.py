"""A server for the clients, and what each test compares them with: the server's own routes."""

import json
import os
import pathlib
import struct
from collections.abc import Callable, Iterator

import pytest
from server import post, serving

REPOSITORY = pathlib.Path(__file__).parents[2]
MODEL = "classics"

# Clients must not ask other servers for anything.
os.environ |= {"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
               "LANGSMITH_TRACING": "false", "NO_PROXY": "127.0.0.1"}


def client(package: str) -> object:
    """A package of a client. Without it, its tests are skipped; with CI=true they fail."""
    if os.environ.get("CI") == "true":
        return __import__(package)
    return pytest.importorskip(package)


@pytest.fixture(scope="session")
def binary() -> pathlib.Path:
    """The server's program."""
    target = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")
    binary = REPOSITORY / os.environ.get("RNNLM_SERVER", target / "release/rnnlm-server")
    if not binary.is_file():
        lacking = f"found no `{binary}`, which `cargo build --release` builds; RNNLM_SERVER can name another"
        pytest.fail(lacking) if os.environ.get("CI") == "true" else pytest.skip(lacking)
    return binary


@pytest.fixture(scope="session")
def address(binary: pathlib.Path) -> Iterator[str]:
    """The address of a server with the models that ship."""
    with serving(binary, REPOSITORY / "models", "--default-model", MODEL) as found:
        yield found


@pytest.fixture(scope="session")
def failing(binary: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose model fails while it writes: its one unit grows by ten powers of ten with each token."""
    folder = tmp_path_factory.mktemp("models") / "failing"
    folder.mkdir()
    values = {"encoder.weight": ([2, 1], [1, 1]), "rnn.weight_ih_l0": ([1, 1], [1]), "rnn.weight_hh_l0": ([1, 1], [1e10]),
              "decoder.weight": ([2, 1], [0, 0])}
    header, data = {}, b""
    for name, (shape, numbers) in values.items():
        begin = len(data)
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    head = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
    (folder / "vocab.txt").write_text("a\nb")
    architecture = {"cell": "rnn_relu", "vocab_size": 2, "embedding_size": 1, "hidden_sizes": [1]}
    manifest = {"format_version": 1, "weights": "model.safetensors", "architecture": architecture,
                "tokenizer": {"kind": "char", "file": "vocab.txt"}, "initial_tokens": []}
    (folder / "config.json").write_text(json.dumps(manifest))
    with serving(binary, folder) as found:
        yield found


@pytest.fixture(scope="session")
def own(address: str) -> Callable[[str, object], dict]:
    """Sends a request to one of the server's own routes."""
    return lambda route, body: post(f"{address}/v1/{route}", body)
