"""How many steps a training takes and what they will cost, settled before the first of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vesalius.training.cost import Cost, steps_within
from vesalius.training.recipe import TrainingConfig

__all__ = ["NOTHING", "Plan", "plan_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a training will take.

    Attributes:
        steps: Optimizer steps.
        step_seconds: Of one, as timed.
        minutes: Of all, looks and validations included.
    """

    steps: int
    step_seconds: float
    minutes: float

    def as_state(self) -> dict[str, Any]:
        """Return what run.json says of it."""
        return {
            "steps": self.steps,
            "step_seconds": round(self.step_seconds, 4),
            "planned_minutes": round(self.minutes, 2),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Plan:
        """Read it from what `as_state` gave, among other things."""
        return cls(steps=state["steps"], step_seconds=state["step_seconds"], minutes=state["planned_minutes"])


NOTHING = Plan(steps=0, step_seconds=0.0, minutes=0.0)
"""Of a backbone that is kept as it is initialised."""


def plan_of(training: TrainingConfig, cost: Cost, *, epoch: int, looks: tuple[int, int]) -> Plan:
    """Count the steps of a training, as many as the recipe says or as fit into its budget, and what they cost.

    Args:
        training: Of the recipe.
        cost: Of a step, and of a look.
        epoch: Steps of a pass over the images.
        looks: Steps between two looks of the probes, and between two validations.
    """
    if training.steps is not None:
        steps = training.steps
    elif training.budget_minutes is not None:
        steps = steps_within(training.budget_minutes, cost, *looks)
    else:
        steps = math.ceil(training.epochs * epoch)
    return Plan(steps=steps, step_seconds=cost.step_seconds, minutes=cost.total_minutes(steps, *looks))
