"""Trainings that are compared, timed together before any is begun, so that minutes mean the same to each."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.training.allocator import memory_kept
from vesalius.training.cost import Cost, measure_costs
from vesalius.training.planning import Plan
from vesalius.training.train import Pretraining

__all__ = ["plan_together"]


def plan_together(trainings: Sequence[Pretraining]) -> list[Plan]:
    """Return what each training will take; nothing is written.

    On a CPU they take their timed steps in turn (`measure_costs`), where memory holds them all. On an accelerator,
    whose speed does not wander as a shared server's does and whose memory is short, each is timed by itself.

    Raises:
        TrainingError: A training's images do not fill its batch, or its memory does not suffice.
    """
    costs: list[Cost] = []
    with memory_kept():
        if all(one.accelerator == "cpu" for one in trainings):
            try:
                costs = measure_costs([one.trial() for one in trainings])
            except (RuntimeError, MemoryError):
                costs = []  # by itself below, the training that fails is known
        if not costs:
            costs = [_alone(one) for one in trainings]
    return [one.plan(cost) for one, cost in zip(trainings, costs, strict=True)]


def _alone(training: Pretraining) -> Cost:
    try:
        [cost] = measure_costs([training.trial()])
    except (RuntimeError, MemoryError) as error:
        training.tell(error)
        raise
    return cost
