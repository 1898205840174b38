"""The one exception that the commands turn into a line on stderr and exit status 1."""

import sys


class InputError(Exception):
    """Something the user gave cannot be used: names it, what was found and what was expected."""


def run(main) -> None:
    """Calls `main`; an `InputError` ends the process with its message, anything else is a bug and keeps its trace."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
