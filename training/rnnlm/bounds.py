"""Types of command-line options, each with its limits: what is out of range is a usage error, and never reaches a run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number within limits, both included."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"`{text}` is not a whole number") from None
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{value} is out of range; accepted are {lowest} to {highest}")
        return value

    return parse


def number(lowest: float, highest: float) -> Callable[[str], float]:
    """A number within limits, both included."""

    def parse(text: str) -> float:
        value = parse_float(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text} is out of range; accepted are {lowest:g} to {highest:g}")
        return value

    return parse


def positive(highest: float) -> Callable[[str], float]:
    """A number above 0."""

    def parse(text: str) -> float:
        value = parse_float(text)
        if not 0.0 < value <= highest:
            raise argparse.ArgumentTypeError(f"{text} is out of range; accepted are numbers above 0 up to {highest:g}")
        return value

    return parse


def probability(text: str) -> float:
    """A probability of dropping: at 1 nothing would be left."""
    value = parse_float(text)
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is out of range; accepted are 0 and numbers below 1")
    return value


def parse_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return value


THREADS = whole(1, 1024)
