"""The software bill of materials: valid CycloneDX, which holds what cargo links, what git ships and what Debian has installed, and nothing else."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from processes import ROOT

LISTED = "libc6\t2.36-9+deb12u10\tamd64\tglibc\nadduser\t3.134\tall\tadduser\nlogin\t1:4.13+dfsg1-1+b1\tamd64\tshadow\nbookworm\n"


@pytest.fixture(scope="module")
def document() -> dict[str, object]:
    return sbom.bill(sbom.debian_packages(LISTED))


def refs(document: dict[str, object], start: str) -> set[str]:
    return {part["bom-ref"] for part in document["components"] if part["bom-ref"].startswith(start)}


def test_it_is_valid(document: dict[str, object]):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None


def test_an_invalid_one_is_found(document: dict[str, object]):
    wrong = document | {"components": [{"name": "without a type"}]}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(wrong)) is not None


def test_crates_are_those_that_run(document: dict[str, object]):
    names = {re.fullmatch(r"pkg:cargo/(.+)@.+", ref)[1] for ref in refs(document, "pkg:cargo/")}
    # The last two belong to features that the image is built with.
    assert {"axum", "redb", "tokio", "tract-onnx", "hyper", "opentelemetry", "rustls"} <= names
    # The first two are for tests, the third builds another, and the last belongs to a feature that is off.
    assert not {"proptest", "divan", "cc", "borsh"} & names
    locked = {package["name"] for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    assert {"proptest", "cc", "borsh"} <= locked, "expected examples of what must not be listed"


def test_crates_have_licences_and_the_digests_of_the_lock_file(document: dict[str, object]):
    locked = {package.get("checksum") for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    for crate in document["components"]:
        if crate["bom-ref"].startswith("pkg:cargo/"):
            assert crate["licenses"][0]["expression"], crate
            assert crate["hashes"][0]["content"] in locked, crate


def test_models_are_those_that_ship(document: dict[str, object]):
    # The list of what git does not ignore.
    shipped = re.findall(r"^!/models/(.+)/$", (ROOT / ".gitignore").read_text(), re.MULTILINE)
    assert refs(document, "model:") == {f"model:{name}" for name in shipped}


def test_debian_packages_are_named_as_package_urls(document: dict[str, object]):
    assert refs(document, "pkg:deb/") == {
        "pkg:deb/debian/adduser@3.134?arch=all&distro=bookworm",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=bookworm",
        "pkg:deb/debian/login@1%3A4.13%2Bdfsg1-1%2Bb1?arch=amd64&distro=bookworm",
    }


def test_every_part_is_in_the_graph_of_dependencies(document: dict[str, object]):
    graph = {node["ref"]: node["dependsOn"] for node in document["dependencies"]}
    parts = {part["bom-ref"] for part in document["components"]}
    program = document["metadata"]["component"]["bom-ref"]
    assert len(parts) == len(document["components"])
    reached = {program}
    new = [program]
    while new:
        found = set(graph.get(new.pop(), [])) - reached
        reached |= found
        new += found
    assert reached == parts | {program}


def test_the_same_sources_give_the_same_bytes(document: dict[str, object]):
    assert sbom.bill(sbom.debian_packages(LISTED)) == document
