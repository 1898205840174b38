"""A server for the clients, and what each test compares them with: the server's own routes."""

import os
import pathlib
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
def own(address: str) -> Callable[[str, object], dict]:
    """Sends a request to one of the server's own routes."""
    return lambda route, body: post(f"{address}/v1/{route}", body)
