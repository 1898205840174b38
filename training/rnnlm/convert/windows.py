"""Whether a converted network carries its state from token to token, or reads a window from a zero state for every prediction.

The two are different models, and most generators of Keras are the second: they were trained on the last N tokens, padded in front, and
they are called that way. Which one a network is comes from its source, or from --window.
"""

from __future__ import annotations

import argparse
import dataclasses

from ..errors import InputError
from .masking import with_masked_padding
from .network import Network, Window


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a source says about how its network was trained to read."""

    length: int | None = None  # the fixed length of its input
    only_last: bool = False  # whether it predicts from the last position alone
    stateful: bool = False  # whether the source itself carries the state on
    masked_id: int | None = None  # the id that is skipped as padding


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line says: `window` is a length, 0 for none, or None where it was not given."""

    window: int | None = None
    pad: int | None = None


def parse_window(text: str) -> int:
    """`--window`: a length, or `none`."""
    if text == "none":
        return 0
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"`{text}` is neither a positive number nor `none`")
    return int(text)


def context_of(reading: Reading, request: Request) -> int | None:
    """How many tokens the network reads for a prediction; None if it carries its state on."""
    if request.window is not None:
        return request.window or None
    if reading.stateful or not (reading.only_last or reading.length is not None):
        return None
    if reading.only_last and reading.length is not None:
        return reading.length
    found = "predicts from the last position of its input only" if reading.only_last else f"has an input of exactly {reading.length} tokens"
    raise InputError(
        f"the network {found}, and the file does not say how its application calls it. If it is called on the last N tokens, from a zero state, "
        "name N with --window N, and with --pad ID what stands before the first token; --window none carries the state from token to token"
    )


def window_of(reading: Reading, request: Request) -> Window | None:
    """The window, if the network reads one."""
    context = context_of(reading, request)
    if context is None:
        if request.pad is not None:
            raise InputError("--pad is the token in front of a window, and this network carries its state from token to token: add --window N")
        return None
    pad = request.pad if request.pad is not None else reading.masked_id or 0
    if reading.masked_id not in (None, pad):
        raise InputError(f"--pad is {pad}, but the network skips the id {reading.masked_id} as padding: leave --pad out")
    return Window(context, pad)


def applied(network: Network, reading: Reading, window: Window | None) -> Network:
    """The network that computes the source's numbers when it is read as `window` says."""
    if window and isinstance(network, Network) and (any(network.norms) or network.has_start):
        found = "normalisations" if any(network.norms) else "a learned initial state"
        raise InputError(
            f"the network has {found} and reads a window of {window.context} tokens, for which only a graph can be written, and graphs are written without them: "
            "--window none carries the state from token to token instead"
        )
    return with_masked_padding(network, window.pad) if window and reading.masked_id is not None else network


def notes(reading: Reading, window: Window | None) -> list[str]:
    """What a user should know of the choice."""
    if window:
        masked = ", which leaves the state at zero, as the mask of the source does" if reading.masked_id is not None else ""
        return [
            f"Each prediction reads the last {window.context} tokens from a zero state; the entry with the id {window.pad} stands before the first token{masked}. "
            "`--window none` carries the state from token to token instead: `rnnlm-server score` on a text tells which is better."
        ]
    found = []
    if reading.only_last and not reading.stateful:
        found.append("Trained on windows, each from a zero state; the server carries the state from token to token, as --window none asked.")
    if reading.masked_id is not None:
        found.append(f"The source skips the id {reading.masked_id} as padding; the server reads it like any other token.")
    return found
