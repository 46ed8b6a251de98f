"""Trainings that are compared are timed in turn, or one by one where memory does not hold them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vesalius.errors import TrainingError
from vesalius.pipeline.pretraining import plan_pretrainings
from vesalius.training import cost, plan_together
from vesalius.training.cost import Cost, Trial


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "WARM_STEPS", 1)
    monkeypatch.setattr(cost, "TIMED_STEPS", 1)


def test_trainings_take_their_timed_steps_in_turn(
    tiny: Callable[..., tuple[str, ...]], phantom_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, bool]] = []
    whole = cost._TimedSteps.take

    def take(self: cost._TimedSteps, *, counts: bool) -> None:
        taken.append((self.rows, counts))
        whole(self, counts=counts)

    monkeypatch.setattr(cost._TimedSteps, "take", take)
    arms = [("dino/small", tiny("training.batch_size=32")), ("dino/small", tiny("views.sizes=[32, 48]"))]
    plans = plan_pretrainings(arms, data=f"{phantom_store}@all", budget_minutes=1.0)
    assert all(plan.steps > 1 and plan.step_seconds > 0 for plan in plans)
    # Two sizes: both are warmed and both are timed, twice, since trainings are compared.
    assert [counts for _, counts in taken] == 4 * [False] + 8 * [True]
    assert [rows for rows, _ in taken] == 3 * [32, 16, 16, 32]


def test_what_memory_does_not_hold_together_is_timed_one_by_one(
    tiny: Callable[..., tuple[str, ...]], phantom_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def too_little(trials: Sequence[Trial], above: int) -> list[Cost]:
        asked.append([one.step.recipe.training.batch_size for one in trials])
        if sum(asked[-1]) > above:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return cost.measure_costs(trials)

    arms = [("dino/small", tiny()), ("dino/small", tiny("training.batch_size=32"))]
    given = {"data": f"{phantom_store}@all"}
    monkeypatch.setattr(plan_together, "measure_costs", lambda trials: too_little(trials, 40))
    assert [plan.steps for plan in plan_pretrainings(arms, **given)] == [16, 8]
    assert asked == [[16, 32], [16], [32]]
    monkeypatch.setattr(plan_together, "measure_costs", lambda trials: too_little(trials, 20))
    with pytest.raises(TrainingError, match=r"out of memory with training.batch_size = 32"):
        plan_pretrainings(arms, **given)
