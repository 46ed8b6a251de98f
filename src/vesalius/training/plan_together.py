"""Trainings that are compared, timed together before any is begun, so that minutes mean the same to each."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from vesalius.training.allocator import memory_kept
from vesalius.training.cost import Cost, Trial, measure_costs
from vesalius.training.planning import Plan
from vesalius.training.train import Pretraining

__all__ = ["plan_together"]


def plan_together(trainings: Sequence[Pretraining]) -> list[Plan]:
    """Return what each training will take; nothing is written.

    On a CPU they take their timed steps in turn (`measure_costs`), where half of the free memory holds them all. On an
    accelerator, whose speed wanders less than a shared server's and whose memory is short, each is timed by itself.

    Raises:
        TrainingError: A training's images do not fill its batch, or its memory does not suffice.
    """
    costs: list[Cost] = []
    with memory_kept():
        if all(one.accelerator == "cpu" for one in trainings):
            trials = [one.trial() for one in trainings]
            needed = sum(_held_bytes(one) for one in trials)
            try:
                costs = measure_costs(trials) if needed < psutil.virtual_memory().available / 2 else []
            except (RuntimeError, MemoryError):
                costs = []  # by itself below, the training that fails is known
            del trials
        if not costs:
            costs = [_alone(one) for one in trainings]
    return [one.plan(cost) for one, cost in zip(trainings, costs, strict=True)]


def _held_bytes(trial: Trial) -> int:
    """Return what a training holds while others take their turns: a copy of its networks, and AdamW's two averages."""
    parts = (trial.step.method, *([] if trial.step.guidance is None else [trial.step.guidance]))
    return 3 * sum(one.numel() * one.element_size() for part in parts for one in part.parameters())


def _alone(training: Pretraining) -> Cost:
    try:
        [cost] = measure_costs([training.trial()])
    except (RuntimeError, MemoryError) as error:
        training.tell(error)
        raise
    return cost
