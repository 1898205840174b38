"""How far a run has come, and what follows from it: the learning rate and the kind of loss."""

from __future__ import annotations

import dataclasses
import math

FLOOR = 0.02


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A linear warm-up, then a cosine down to `FLOOR` of the peak; ends by steps or by time, whichever is first."""

    learning_rate: float = 3e-3  # at its peak
    warmup_steps: int = 200
    steps: int | None = None
    time_limit: float | None = None  # seconds of training, including earlier parts of a resumed run
    sampled_until: float = 0.0  # the fraction of the run in which the loss may be estimated from candidates

    def progress(self, step: int, elapsed: float) -> float:
        """From 0 at the start to 1 at the end. Only a run that is limited by steps is the same on every machine."""
        by_steps = step / self.steps if self.steps is not None else 0.0
        by_time = elapsed / self.time_limit if self.time_limit is not None else 0.0
        return min(1.0, max(by_steps, by_time))

    def rate(self, step: int, progress: float) -> float:
        """The rate of the step numbered `step` from 0."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps > 0 else 1.0
        cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.learning_rate * warmup * (FLOOR + (1.0 - FLOOR) * cosine)

    def samples(self, progress: float) -> bool:
        """Whether the loss is estimated here; the last part of a run computes the whole vocabulary."""
        return progress < self.sampled_until
