"""Runs the programs of docs/clients.md in Python, JavaScript and Rust, and compares what they print with the output on the page.

Run from the root of the repository, after `cargo build --release`; needs `requests`, Node.js 18 or later, and cargo with what `Cargo.lock` beside
this file names:

    python tests/clients/page.py
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training/tests"))

from server import serving  # noqa: E402

PAGE = ROOT / "docs/clients.md"
# The address on the page.
URL = "http://127.0.0.1:8080"
# The crate of the program in Rust, and the versions that it was tested with last.
CRATE = ROOT / "target/clients"
LOCK = pathlib.Path(__file__).with_name("Cargo.lock")
COMMANDS = {
    "python": [sys.executable, "-"],
    "js": ["node", "--input-type=module", "-"],
    "rust": ["cargo", "run", "--quiet", "--locked", "--manifest-path", CRATE / "Cargo.toml"],
}
# What the program in Rust depends on.
DEPENDENCIES = re.compile(r"^```toml crate\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
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
    make_crate(DEPENDENCIES.search(page)[1])
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


def make_crate(dependencies: str) -> None:
    """Writes all of the crate but its program."""
    (CRATE / "src").mkdir(parents=True, exist_ok=True)
    package = '[package]\nname = "client"\nversion = "0.0.0"\nedition = "2024"\n\n'
    (CRATE / "Cargo.toml").write_text(package + dependencies, encoding="utf-8")
    shutil.copy(LOCK, CRATE)


def output(language: str, program: str) -> str:
    """What a program prints."""
    if language == "rust":
        (CRATE / "src/main.rs").write_text(program, encoding="utf-8")
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    ended = subprocess.run(COMMANDS[language], input=program, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if ended.returncode:
        sys.exit(f"the program in {language} ended with {ended.returncode}:\n{ended.stderr}")
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
