"""The exception that the commands turn into one line on stderr and exit status 1."""

import sys


class InputError(Exception):
    """Input that cannot be used. The message names it, what was found, and what is accepted."""


def run(main) -> None:
    """Calls `main`. An `InputError` ends the process with its message; anything else is a bug and keeps its traceback."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
