"""Generates a client from the server's OpenAPI document with `openapi-python-client`, and makes a call of each kind with it.

Run from the root of the repository, after `cargo build --release`:

    python tests/clients/generated.py
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training/tests"))

from server import serving  # noqa: E402

PACKAGE = "generated_client"


@dataclasses.dataclass(frozen=True)
class Call:
    """An operation, what it is given, and a field that its answer must have."""

    operation: str
    expected: str
    body: dict[str, object] | None = None
    parameters: dict[str, object] = dataclasses.field(default_factory=dict)


# One for each tag of the document.
CALLS = {
    "operations": Call("getInfo", "version"),
    "models": Call("listModels", "data"),
    "tokens": Call("tokenize", "tokens", {"text": "KING"}),
    "next": Call("nextToken", "distribution", {"text": "KING", "top_k": 3}),
    "suggest": Call("suggest", "suggestions", {"text": "My lord, I ha"}),
    "generation": Call("generate", "choices", {"text": "KING", "max_tokens": 3, "seed": 1}),
    "scoring": Call("score", "results", {"texts": ["KING"]}),
    "understanding": Call("neighbors", "neighbors", {"token": "K"}),
    "sessions": Call("createSession", "id", {"id": "generated", "text": "KING"}),
    "openai": Call("createCompletion", "choices", {"prompt": "KING", "max_tokens": 3, "seed": 1}),
    "aac": Call("predictWords", "results", parameters={"left": "My lord, I", "prefix": "ha"}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/rnnlm-server")
    options = parser.parse_args()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    with serving(options.binary, ROOT / "models/shakespeare-rnn", "--enable", "aac") as address, tempfile.TemporaryDirectory() as folder:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/openapi.json", timeout=60) as answer:
            document = json.load(answer)
        generate(document, pathlib.Path(folder))
        sys.path.insert(0, folder)
        operations = {operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()}
        tags = {tag for operation in operations.values() for tag in operation["tags"]}
        if tags != CALLS.keys():
            sys.exit(f"the document has the tags {', '.join(sorted(tags))}; this program makes calls for {', '.join(sorted(CALLS))}")
        client = importlib.import_module(PACKAGE).Client(base_url=address, raise_on_unexpected_status=True)
        for tag, call in CALLS.items():
            found = answer_of(client, operations[call.operation], call)
            if call.expected not in found:
                sys.exit(f"{call.operation} ({tag}) returned {found}; expected `{call.expected}`")
            print(f"{call.operation} ({tag}): `{call.expected}`")
    print(f"{len(CALLS)} calls")
    return 0


def generate(document: dict[str, object], folder: pathlib.Path) -> None:
    """Writes the package into `folder`. What the generator warns of is shown: it leaves such an operation out."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "config.yml").write_text("post_hooks: []\n")  # the code is run, not read
    command = [str(pathlib.Path(sys.executable).with_name("openapi-python-client")), "generate", "--path", "openapi.json", "--config", "config.yml", "--meta", "none", "--output-path", PACKAGE]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    print(ended.stdout, ended.stderr, sep="", end="")
    if ended.returncode:
        sys.exit(f"the generator ended with {ended.returncode}")
    compiled = subprocess.run([sys.executable, "-m", "compileall", "-q", PACKAGE], cwd=folder, check=False)
    if compiled.returncode:
        sys.exit("the generated package does not compile")


def answer_of(client: object, operation: dict[str, object], call: Call) -> dict[str, object]:
    """The parsed answer to a call of the generated function."""
    (path,) = pathlib.Path(importlib.import_module(PACKAGE).__file__).parent.glob(f"api/*/{snake_case(call.operation)}.py")
    function = importlib.import_module(f"{PACKAGE}.api.{path.parent.name}.{path.stem}").sync_detailed
    given = dict(call.parameters)
    if call.body is not None:
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        given["body"] = getattr(importlib.import_module(f"{PACKAGE}.models"), name).from_dict(call.body)
    answer = function(client=client, **given)
    if answer.status_code not in (200, 201) or answer.parsed is None:
        sys.exit(f"{call.operation} was answered with {answer.status_code}: {answer.content.decode()}")
    return answer.parsed.to_dict()


def snake_case(name: str) -> str:
    """`nextToken` -> `next_token`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    sys.exit(main())
