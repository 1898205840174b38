"""Text files, their splits, and the streams of ids that training reads. Knows no model."""

from __future__ import annotations

import dataclasses
import lzma
import pathlib

import torch

from .errors import InputError
from .tokenizer import Tokenizer


def read_text(path: pathlib.Path) -> str:
    """The text of a UTF-8 file, plain or `.xz`. Line ends are left as they are."""
    try:
        data = path.read_bytes()
        if path.suffix == ".xz":
            data = lzma.decompress(data)
    except (OSError, lzma.LZMAError) as error:
        raise InputError(f"`{path}` cannot be read: {error}") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"`{path}` is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}") from error
    if not text.strip():
        raise InputError(f"`{path}` is empty; expected text")
    return text


def with_line_feeds(text: str) -> str:
    """The text with "\\n" in place of the line ends of Windows, "\\r\\n", and of old Macs, "\\r"."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclasses.dataclass(frozen=True)
class Texts:
    """Text to learn from, to validate on, and, where one file was split, to test on."""

    train: str
    valid: str
    test: str | None


def read_texts(train: pathlib.Path, valid: pathlib.Path | None, split: str) -> Texts:
    """Two files, or one that is cut by characters as `split` says, for example `90/5/5`. Every line ends with "\\n"."""
    text = with_line_feeds(read_text(train))
    if valid is not None:
        return Texts(text, with_line_feeds(read_text(valid)), None)
    percent = [int(part) for part in split.split("/") if part.isascii() and part.isdigit()]
    if len(percent) != 3 or sum(percent) != 100 or min(percent) < 1:
        raise InputError(f"split `{split}` is not three positive whole numbers that sum to 100, such as 90/5/5")
    first = len(text) * percent[0] // 100
    second = len(text) * (percent[0] + percent[1]) // 100
    return Texts(text[:first], text[first:second], text[second:])


def stream(tokenizer: Tokenizer, ids: list[int]) -> torch.Tensor:
    """The initial tokens and the ids of a text as one int64 stream `[tokens]`."""
    return torch.tensor(tokenizer.initial_ids() + ids, dtype=torch.int64)


class Streams:
    """One epoch: a stream of ids cut into `batch_size` parallel streams, read in windows of `window` steps.

    The text is treated as a ring, and every epoch starts at another place in it, so that the streams' first tokens, which are read
    from a zero state, are not always the same.
    """

    def __init__(self, ids: torch.Tensor, batch_size: int, window: int) -> None:
        self.ids = ids
        self.batch_size = batch_size
        self.window = window
        self.length = (len(ids) - 1) // batch_size
        if self.length < 1:
            raise InputError(f"the corpus of {len(ids)} tokens is too short for a batch of {batch_size} streams")

    def windows_per_epoch(self) -> int:
        """How many windows make an epoch; the last one may be shorter."""
        return -(-self.length // self.window)

    def at(self, step: int, seed: int) -> Window:
        """The window read at `step`, counted over all epochs: a function of its arguments alone, so that a resumed run continues where it stopped."""
        epoch, index = divmod(step, self.windows_per_epoch())
        offset = int(torch.randint(len(self.ids), (1,), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)))
        starts = offset + torch.arange(self.batch_size) * self.length + index * self.window
        steps = torch.arange(min(self.window, self.length - index * self.window) + 1)
        rows = self.ids[(steps[:, None] + starts[None, :]) % len(self.ids)]
        return Window(inputs=rows[:-1], targets=rows[1:], epoch=epoch, first=index == 0)


@dataclasses.dataclass(frozen=True)
class Window:
    """What one step of training reads: ids `[steps, batch]`, and the id that follows each of them."""

    inputs: torch.Tensor
    targets: torch.Tensor
    epoch: int
    first: bool
