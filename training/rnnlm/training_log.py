"""What a run writes down of itself: `log.csv`, a line every so many updates and one a validation, and TensorBoard's events if it is installed.

`train.log` has the validations in words. The CSV's columns are `COLUMNS`; a column that a line has no value for is empty.
"""

from __future__ import annotations

import csv
import pathlib

COLUMNS = ("step", "epoch", "seconds", "learning_rate", "train_loss", "gradient_norm", "tokens_per_second", "valid_loss", "valid_loss_known")
CSV = "log.csv"
WORDS = "train.log"
EVENTS = "tensorboard"


class TrainingLog:
    """The logs of one run, continued after the update `step`."""

    def __init__(self, folder: pathlib.Path, step: int) -> None:
        self._folder = folder
        self._keep_until(step)
        self._file = (folder / CSV).open("a", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        if self._file.tell() == 0:
            self._writer.writeheader()
        self._events = tensorboard_writer(folder / EVENTS, step)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()

    def add(self, values: dict[str, float]) -> None:
        """A line; `values` has `step` and some of the other columns."""
        self._writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()})
        self._file.flush()
        if self._events is not None:
            for name in values.keys() - {"step", "epoch", "seconds"}:
                self._events.add_scalar(name, values[name], values["step"])

    def say(self, line: str) -> None:
        """A line of `train.log`."""
        with (self._folder / WORDS).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _keep_until(self, step: int) -> None:
        """Drops what a run wrote after the checkpoint that it is resumed from: it will be written again."""
        path = self._folder / CSV
        if not path.is_file():
            return
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if int(line.partition(",")[0]) <= step]
        path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")


def tensorboard_writer(folder: pathlib.Path, step: int):
    """A writer of TensorBoard's events; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
