"""Runs the programs of docs/clients.md in Python and JavaScript, and compares what they print with the output on the page.

Run from the root of the repository, after `cargo build --release`; needs `requests`, and Node.js 18 or later:

    python tests/clients/page.py
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training/tests"))

from server import serving  # noqa: E402

PAGE = ROOT / "docs/clients.md"
# The address on the page.
URL = "http://127.0.0.1:8080"
COMMANDS = {"python": [sys.executable, "-"], "js": ["node", "--input-type=module", "-"]}
# A program, and the output below it.
PROGRAM = re.compile(r"^```(\w+) client\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/rnnlm-server")
    parser.add_argument("--write", action="store_true", help="write the outputs into the page")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    programs = list(PROGRAM.finditer(page))
    missing = COMMANDS.keys() - {program[1] for program in programs}
    if missing:
        sys.exit(f"{PAGE} has no program in {', '.join(missing)}")
    with serving(options.binary, ROOT / "models/classics") as address:
        outputs = [output(program[1], program[2].replace(URL, address)) for program in programs]
    wrong = 0
    for program, found in reversed(list(zip(programs, outputs))):
        if program[3] != found:
            wrong += 1
            print(f"the program in {program[1]} printed\n{found}instead of\n{program[3]}")
            block = program[0].partition("\n```\n")[0] + f"\n```\n\n```text\n{found}```\n"
            page = page[: program.start()] + block + page[program.end() :]
    if options.write:
        PAGE.write_text(page, encoding="utf-8")
    print(f"{len(programs)} programs, {wrong} with another output")
    return int(wrong > 0 and not options.write)


def output(language: str, program: str) -> str:
    """What a program prints."""
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    ended = subprocess.run(COMMANDS[language], input=program, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode:
        sys.exit(f"the program in {language} ended with {ended.returncode}:\n{ended.stderr}")
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
