"""What a study's trainings on labels will cost, for its plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LabelTraining", "label_minutes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTraining:
    """All trainings on labels that one task asks of one network.

    Attributes:
        steps: At most.
        step_seconds: Timed.
        network: What tells the architecture: arms of the same one share its untrained twin.
    """

    steps: int
    step_seconds: float
    network: str

    @property
    def minutes(self) -> float:
        """At most."""
        return self.steps * self.step_seconds / 60


def label_minutes(trainings: Sequence[tuple[str, int, LabelTraining]]) -> float:
    """Return the minutes of all: every training of every arm, and of each architecture the untrained twin once.

    Args:
        trainings: Of every arm and task: the task's name, how many seeds are to be scored, and what one costs.
    """
    own = sum((seeds * one.minutes for _, seeds, one in trainings), 0.0)
    twins = {(one.network, task): one.minutes for task, _, one in trainings}
    return own + sum(twins.values(), 0.0)
