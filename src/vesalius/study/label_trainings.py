"""What a study's trainings on labels will cost, for its plan."""

from __future__ import annotations

from collections.abc import Mapping
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


def label_minutes(arms: Mapping[str, Mapping[str, LabelTraining]], *, seeds: int) -> float:
    """Return the minutes of all: every training of every arm, and of each architecture the untrained twin once.

    Args:
        arms: By arm and task.
        seeds: Trainings of each arm.
    """
    own = sum((one.minutes for tasks in arms.values() for one in tasks.values()), 0.0)
    twins = {(one.network, task): one.minutes for tasks in arms.values() for task, one in tasks.items()}
    return seeds * own + sum(twins.values(), 0.0)
