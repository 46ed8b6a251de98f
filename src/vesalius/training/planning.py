"""How many steps a training takes and what they will cost, settled before the first of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vesalius.data.batches import TrainingBatches
from vesalius.training.cost import measure_cost, steps_within
from vesalius.training.monitors import Probe
from vesalius.training.step import TrainingStep
from vesalius.training.validation import Validation

__all__ = ["Plan", "plan_steps"]


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


def plan_steps(
    step: TrainingStep,
    batches: TrainingBatches,
    probes: Sequence[Probe],
    *,
    device: torch.device,
    bf16: bool,
    epoch: int,
    looks: tuple[int, int],
    validation: Validation | None = None,
) -> Plan:
    """Time a few steps and count those of the training: as many as the recipe says, or as fit into its budget.

    Args:
        step: The parts; a copy of them is trained and thrown away.
        batches: Where the images are.
        probes: What looks now and then.
        device: Where the training will compute.
        bf16: Whether it will do so under autocast.
        epoch: Steps of a pass over the images.
        looks: Steps between two looks of the probes, and between two validations.
        validation: What looks at images held out.
    """
    cost = measure_cost(step, batches, probes, device=device, bf16=bf16, validation=validation)
    training = step.recipe.training
    if training.steps is not None:
        steps = training.steps
    elif training.budget_minutes is not None:
        steps = steps_within(training.budget_minutes, cost, *looks)
    else:
        steps = math.ceil(training.epochs * epoch)
    return Plan(steps=steps, step_seconds=cost.step_seconds, minutes=cost.total_minutes(steps, *looks))
