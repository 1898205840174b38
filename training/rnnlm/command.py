"""The command that a card states: how a model came about."""

from __future__ import annotations

import shlex


def command(program: str, arguments: list[str]) -> str:
    """The command without the folders of the machine it ran on, which tell a reader nothing."""
    return f"python {program} " + shlex.join(part.rsplit("/", 1)[-1] if part.startswith("/") else part for part in arguments)
