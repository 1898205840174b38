"""The options that docker/compose.yaml and the Kubernetes manifests set are options of the server, with values that it accepts."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from processes import ROOT, Server, free_port

COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]["replica-1"]["environment"]
KUBERNETES = yaml.safe_load((ROOT / "docker/kubernetes/configmap.yaml").read_text())["data"]


@pytest.mark.parametrize("options", [COMPOSE, KUBERNETES], ids=["compose", "kubernetes"])
def test_a_server_starts_with_the_options(options: dict[str, str], binary: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "keys").write_text("somebody:a-secret\n")
    # What another machine would have is here.
    here = {
        "RNNLM_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        "RNNLM_API_KEYS": str(tmp_path / "keys"),
        "RNNLM_SESSION_STORE": f"file:{tmp_path}/sessions",
    }
    server = Server("server", tmp_path, binary, "--models", ROOT / "models/shakespeare-rnn")
    server.environment = options | {name: here[name] for name in here.keys() & options.keys()}
    with server:
        assert server.terminate() == 0


@pytest.mark.parametrize("options", [COMPOSE, KUBERNETES], ids=["compose", "kubernetes"])
def test_the_options_exist(options: dict[str, str]):
    page = (ROOT / "docs/operations.md").read_text()
    assert options
    assert not [name for name in options if f"| `{name}` |" not in page]
