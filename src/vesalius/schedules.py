"""Values that change over a training, as pure functions of its progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Progress", "cosine", "linear", "stepwise", "warmup_cosine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is: the step about to be taken, of how many, and how many make an epoch."""

    step: int
    total_steps: int
    steps_per_epoch: int

    @property
    def fraction(self) -> float:
        """Share of the training that lies behind, [0, 1)."""
        return self.step / max(1, self.total_steps)

    @property
    def epoch(self) -> float:
        """Passes over the data that lie behind."""
        return self.step / max(1, self.steps_per_epoch)


def cosine(start: float, end: float, fraction: float) -> float:
    """Half a cosine from `start` at fraction 0 to `end` at fraction 1."""
    fraction = min(1.0, max(0.0, fraction))
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * fraction))


def linear(start: float, end: float, fraction: float) -> float:
    """Straight line from `start` at fraction 0 to `end` at fraction 1, constant after."""
    return start + (end - start) * min(1.0, max(0.0, fraction))


def stepwise(start: float, factor: float, milestones: Sequence[float], fraction: float) -> float:
    """`start`, multiplied by `factor` at each milestone, a share of the training, that `fraction` has reached."""
    return start * factor ** sum(fraction >= milestone for milestone in milestones)


def warmup_cosine(peak: float, end: float, progress: Progress, warmup_steps: int, start: float = 0.0) -> float:
    """Linear from `start` to `peak` over the warm-up, then half a cosine to `end` (DINO, section 3.2)."""
    if progress.step < warmup_steps:
        return start + (peak - start) * progress.step / max(1, warmup_steps - 1)
    return cosine(peak, end, (progress.step - warmup_steps) / max(1, progress.total_steps - warmup_steps))
