"""What deny.toml asks of the crates that are linked into the program, checked without cargo-deny, which takes minutes to build: licences, bans
and sources. Advisories need a database that changes daily; `cargo deny check advisories` reads it."""

from __future__ import annotations

import json
import subprocess
import tomllib

import pytest
from boolean import boolean
from license_expression import LicenseSymbol, get_spdx_licensing
from processes import ROOT

RULES = tomllib.loads((ROOT / "deny.toml").read_text())
LICENSING = get_spdx_licensing()
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def packages(target: str) -> list[dict[str, object]]:
    """All crates that the program needs on a target, with all features, for building too."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    needed = {metadata["resolve"]["root"]}
    new = list(needed)
    while new:
        links = nodes[new.pop()]["deps"]
        found = {link["pkg"] for link in links if any(kind["kind"] != "dev" for kind in link["dep_kinds"])} - needed
        needed |= found
        new += found
    return [package for package in metadata["packages"] if package["id"] in needed]


@pytest.fixture(scope="module", params=RULES["graph"]["targets"])
def crates(request: pytest.FixtureRequest) -> list[dict[str, object]]:
    return packages(request.param)


def allowed(expression: str) -> bool:
    """Whether the terms of a licence expression can be met with allowed licences alone."""
    return met(LICENSING.parse(expression.replace("/", " OR "), validate=True))


def met(expression: boolean.Expression) -> bool:
    if isinstance(expression, boolean.OR):
        return any(map(met, expression.args))
    if isinstance(expression, boolean.AND):
        return all(map(met, expression.args))
    assert isinstance(expression, LicenseSymbol) or hasattr(expression, "license_symbol"), expression
    return str(expression) in RULES["licenses"]["allow"]


@pytest.mark.parametrize("expression, is_allowed", [
    ("MIT", True),
    ("GPL-3.0-only OR MIT", True),
    ("MIT/Apache-2.0", True),
    ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
    ("MIT AND GPL-3.0-only", False),
    ("Apache-2.0 WITH LLVM-exception", False),
    ("Apache-2.0 WITH LLVM-exception OR MIT", True),
])
def test_a_licence_is_allowed_if_its_terms_can_be_met(expression: str, is_allowed: bool):
    assert allowed(expression) == is_allowed


def test_licences_are_allowed(crates: list[dict[str, object]]):
    assert len(crates) > 100
    assert not [f"{crate['name']}: {crate['license']}" for crate in crates if not allowed(crate["license"] or "")]


def test_no_crate_is_banned(crates: list[dict[str, object]]):
    banned = {rule["crate"] for rule in RULES["bans"]["deny"]}
    assert banned
    assert not banned & {crate["name"] for crate in crates}


def test_no_version_is_a_wildcard(crates: list[dict[str, object]]):
    assert RULES["bans"]["wildcards"] == "deny"
    (program,) = [crate for crate in crates if crate["source"] is None]
    assert not [dependency["name"] for dependency in program["dependencies"] if dependency["req"] == "*"]


def test_crates_come_from_the_registry(crates: list[dict[str, object]]):
    assert RULES["sources"] == {"unknown-registry": "deny", "unknown-git": "deny"}
    assert {crate["source"] for crate in crates} == {None, CRATES_IO}
