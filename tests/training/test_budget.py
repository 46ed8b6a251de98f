"""A budget in minutes becomes a number of steps before the training starts, and is kept."""

from __future__ import annotations

import json
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError
from vesalius.training.cost import Cost, even_out, steps_within


def test_a_budget_is_planned_said_and_kept(pretrain, capsys) -> None:
    budget = 0.08
    run = pretrain("run", "training.checkpoint_minutes=60", "monitors.every_epochs=50", budget_minutes=budget)
    state = json.loads((run / "run.json").read_text())
    said = capsys.readouterr().out
    assert f"{state['steps']:,} steps of 16" in said
    assert said.index("s a step: about") < said.index("step 1 of") if "step 1 of" in said else True
    assert state["status"] == "done"
    assert state["steps_taken"] == state["steps"] > 1
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


@given(
    st.lists(st.floats(0.05, 5.0), min_size=2, max_size=6),
    st.lists(st.floats(1.0, 3.0), min_size=3, max_size=9),
    st.data(),
)
def test_a_slow_turn_falls_on_all_trainings(own: list[float], slowness: list[float], data: st.DataObject) -> None:
    seconds = [[each * slow for slow in slowness] for each in own]
    even = even_out(seconds, [1] * len(own))
    assert even == pytest.approx([each * median(slowness) for each in own])
    # One step that a hiccup befell moves no other training, and its own by nothing.
    seconds[0][data.draw(st.integers(0, len(slowness) - 1))] *= 50
    if len(own) > 2:
        assert even_out(seconds, [1] * len(own))[1:] == pytest.approx(even[1:], rel=0.5)


def test_turns_tell_trainings_apart_whose_medians_do_not() -> None:
    """The machine grows slower, and each training was disturbed in another turn."""
    once, twice = [1.0, 9.0, 4.0, 8.0, 16.0], [2.0, 4.0, 8.0, 16.0, 99.0]
    assert median(twice) / median(once) == 1.0
    one, two = even_out([once, twice], [1, 1])
    assert 1.5 < two / one < 2.5


def test_a_training_by_itself_costs_what_its_steps_took() -> None:
    assert even_out([[1.0, 2.0, 9.0]], [1]) == [2.0]
    assert even_out([[1.0, 4.0, 1.0, 4.0]], [2]) == [2.5]


def test_a_training_of_several_sizes_is_not_taken_for_a_slow_machine() -> None:
    """Constant seconds: whatever stands beside, each training costs what its own steps took."""
    several = [[1.0, 2.0, 6.0] * 4 for _ in range(3)]
    assert even_out([[2.0] * 12, *several], [1, 3, 3, 3]) == pytest.approx([2.0, 3.0, 3.0, 3.0])
    assert even_out([[2.0] * 12, several[0]], [1, 3]) == pytest.approx([2.0, 3.0])
