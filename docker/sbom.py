#!/usr/bin/env python3
"""Writes the software bill of materials of the image, in CycloneDX 1.6: the crates that are linked into the program, the models that ship, and
Debian's packages.

    docker/sbom.py [IMAGE] > sbom.json

Without an image, Debian's packages are left out. It needs cargo, and docker for an image. The same sources and image give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
WEIGHTS = ("model.safetensors", "model.onnx")
# What is asked of dpkg, and the fields of its answer.
PACKAGE_FIELDS = ("Package", "Version", "Architecture", "source:Package")
PACKAGE_FORMAT = "\t".join(f"${{{field}}}" for field in PACKAGE_FIELDS) + "\n"


def main() -> None:
    if len(sys.argv) > 2 or any(argument.startswith("-") for argument in sys.argv[1:]):
        sys.exit(__doc__)
    packages = packages_of(sys.argv[1]) if len(sys.argv) == 2 else []
    json.dump(bill(packages), sys.stdout, indent=2)
    print()


def bill(packages: list[dict[str, object]]) -> dict[str, object]:
    """The whole document, with Debian's `packages`."""
    metadata = cargo_metadata()
    crates = linked(metadata)
    others = [*models(), *packages]
    graph = dependencies(metadata, set(crates), [part["bom-ref"] for part in others])
    program = crates.pop(metadata["resolve"]["root"])
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": program | {"type": "application"}},
        "components": [*crates.values(), *others],
        "dependencies": graph,
    }
    name = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return document | {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"}


def features() -> str:
    """Those that the image is built with, as cargo takes them."""
    return re.search(r"^ENV FEATURES=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]


def cargo_metadata() -> dict[str, object]:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET, "--features", features()]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def linked(metadata: dict[str, object]) -> dict[str, dict[str, object]]:
    """The components of the program itself and of all crates that it needs to run, by their ids."""
    needed = tree()
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock()}
    found = {}
    for package in sorted(metadata["packages"], key=lambda package: package["id"]):
        name = (package["name"], package["version"])
        if name in needed:
            found[package["id"]] = crate(package, checksums[name])
    return found


def tree() -> set[tuple[str, str]]:
    """The names and versions of these crates. The graph of `cargo metadata` alone has some more, whose features are off."""
    command = ["cargo", "tree", "--edges", "normal", "--prefix", "none", "--locked", "--target", TARGET, "--features", features()]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in (line.split() for line in lines)}


def linked_by(node: dict[str, object]) -> list[str]:
    """What a crate links: not what builds or tests it."""
    return sorted(link["pkg"] for link in node["deps"] if any(kind["kind"] is None for kind in link["dep_kinds"]))


def lock() -> list[dict[str, str]]:
    return tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]


def crate(package: dict[str, object], checksum: str | None) -> dict[str, object]:
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        # A slash is an older way to write OR.
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def reference(package: dict[str, object]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def models() -> list[dict[str, object]]:
    """The models that ship, those that git knows, with the digests of their weights."""
    listed = subprocess.run(["git", "ls-files", "models/*/config.json"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for config in map(pathlib.Path, listed.splitlines()):
        (weights,) = [path for name in WEIGHTS if (path := ROOT / config.parent / name).exists()]
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        found.append({
            "type": "machine-learning-model",
            "bom-ref": f"model:{config.parent.name}",
            "name": config.parent.name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        })
    return found


def dependencies(metadata: dict[str, object], crates: set[str], parts: list[str]) -> list[dict[str, object]]:
    """Which crate links which. The image is the program with `parts`."""
    names = {package["id"]: reference(package) for package in metadata["packages"]}
    found = []
    for node in sorted(metadata["resolve"]["nodes"], key=lambda node: node["id"]):
        if node["id"] in crates:
            others = parts if node["id"] == metadata["resolve"]["root"] else []
            links = [names[link] for link in linked_by(node) if link in crates]
            found.append({"ref": names[node["id"]], "dependsOn": links + others})
    return found


def packages_of(image: str) -> list[dict[str, object]]:
    """Debian's packages in an image."""
    ask = f"dpkg-query --show --showformat='{PACKAGE_FORMAT}' && . /etc/os-release && echo \"$VERSION_CODENAME\""
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image, "-c", ask]
    return debian_packages(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def debian_packages(listed: str) -> list[dict[str, object]]:
    """The components of packages that dpkg has listed in [`PACKAGE_FORMAT`], before a line with the name of the release."""
    *lines, release = listed.splitlines()
    found = []
    for name, version, architecture, source in sorted(line.split("\t") for line in lines):
        purl = f"pkg:deb/debian/{urllib.parse.quote(name)}@{urllib.parse.quote(version)}?arch={architecture}&distro={release}"
        found.append({
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "properties": [{"name": "debian:source", "value": source}],
        })
    return found


if __name__ == "__main__":
    main()
