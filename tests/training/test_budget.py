"""A budget in minutes becomes a number of steps before the training starts, and is kept."""

from __future__ import annotations

import json

import pytest

from vesalius.errors import ConfigError
from vesalius.training.cost import Cost, steps_within


def test_a_budget_is_planned_said_and_kept(pretrain, capsys) -> None:
    budget = 0.08
    run = pretrain("run", "training.checkpoint_minutes=60", "monitors.every_epochs=50", budget_minutes=budget)
    state = json.loads((run / "run.json").read_text())
    said = capsys.readouterr().out
    assert f"{state['steps']:,} steps of 16" in said
    assert said.index("s a step: about") < said.index("step 1 of") if "step 1 of" in said else True
    assert state["status"] == "done"
    assert state["steps_taken"] == state["steps"] > 10
    assert state["planned_minutes"] <= budget
    assert state["seconds"] < 3 * budget * 60 + 5  # a busy machine may slow down after the trial
    assert f"budget_minutes: {budget}" in (run / "recipe.yaml").read_text()


def test_steps_within() -> None:
    cost = Cost(step_seconds=1.0, probe_seconds=10.0)
    steps = steps_within(10.0, cost, probe_every=100)
    assert cost.total_minutes(steps, 100) <= 0.88 * 10 < cost.total_minutes(steps + 2, 100)
    assert steps_within(0.001, cost, probe_every=100) == 1


@pytest.mark.parametrize("epochs", [0.25, 1.3])
def test_epochs_are_rounded_up_to_steps(pretrain, epochs: float) -> None:
    run = pretrain("run", f"training.epochs={epochs}")
    state = json.loads((run / "run.json").read_text())
    assert state["steps"] == -(-epochs * 4 // 1)
    assert "step_seconds" in state


def test_steps_are_taken_as_they_are_given(pretrain) -> None:
    run = pretrain("run", "training.steps=3")
    state = json.loads((run / "run.json").read_text())
    assert (state["steps"], state["steps_taken"]) == (3, 3)
    with pytest.raises(ConfigError, match="steps and budget_minutes: give one"):
        pretrain("both", "training.steps=3", budget_minutes=1.0)
