"""Checks the OpenAPI document and the server against one another.

The document must be valid OpenAPI 3.1. Then schemathesis sends some 2,000 requests that it derives from the document, valid ones and
broken ones, and compares every answer with the document: its status, headers, media type and schema. None may be a server error, and what
the document forbids must be refused.

Run from the root of the repository, after `cargo build --release`:

    python tests/openapi/check.py
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training/tests"))

from server import serving  # noqa: E402

# Limits that keep the largest valid request, which the document describes, small.
LIMITS = ("--max-text", "4KiB", "--max-suggestions", "20", "--max-prompt-tokens", "2000", "--max-tokens", "64", "--request-timeout", "20s")

# Which checks are made.
CHECKS = pathlib.Path(__file__).with_name("schemathesis.toml")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/rnnlm-server")
    parser.add_argument("--examples", type=int, default=20, help="random requests for each operation (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="another seed sends other requests (default: 1)")
    options = parser.parse_args()
    with serving(options.binary, ROOT / "models/shakespeare-rnn", *LIMITS, "--enable", "aac") as address:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/openapi.json", timeout=60) as answer:
            document = json.load(answer)
        invalid = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
                   for error in OpenAPIV31SpecValidator(document).iter_errors()]
        print(f"the document: {len(document['paths'])} paths, {len(invalid)} errors", *invalid, sep="\n")
        return int(bool(invalid)) or compare(address, options)


def compare(address: str, options: argparse.Namespace) -> int:
    """Sends requests to the server at `address`; the exit code of schemathesis."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(CHECKS), "run", f"{address}/openapi.json",
            "--phases", "examples,coverage,fuzzing",
            "--max-examples", str(options.examples),
            "--seed", str(options.seed),
            "--continue-on-failure", "--no-color", "--warnings", "off",
            "--generation-database", "none",
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(CHECKS.parent)}
        return subprocess.run(command, cwd=folder, check=False, env=os.environ | hooks).returncode


if __name__ == "__main__":
    sys.exit(main())
