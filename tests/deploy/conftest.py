"""The processes of tests/replicas, and the server's program."""

from __future__ import annotations

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "docker"), str(ROOT / "tests/replicas")]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--binary", type=pathlib.Path, default=ROOT / "target/release/rnnlm-server")


@pytest.fixture(scope="session")
def binary(request: pytest.FixtureRequest) -> pathlib.Path:
    return request.config.getoption("--binary")
