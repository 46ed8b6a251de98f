"""Alarms: the right one where a training collapses, none where it does not, and each once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vesalius.training.collapse import CollapseWatch


def _alarms(run: Path) -> list[str]:
    return json.loads((run / "run.json").read_text())["alarms"]


_LONG = "training.epochs=10"


def test_a_flat_teacher_is_named_uniform(pretrain, capsys) -> None:
    run = pretrain("run", _LONG, "method.teacher_temperature=1.0")
    assert [alarm.split(":")[0] for alarm in _alarms(run)] == ["collapse to uniform"]
    assert "method.teacher_entropy=0.5" in _alarms(run)[0]
    assert "collapse to uniform" in capsys.readouterr().out


def test_a_sharp_teacher_without_centre_is_named_one_prototype(pretrain) -> None:
    run = pretrain("run", _LONG, "method.teacher_temperature=0.0001", "method.centre_momentum=1.0", "optimizer.lr=0.1")
    assert "collapse to one prototype" in [alarm.split(":")[0] for alarm in _alarms(run)]


def test_a_healthy_training_is_left_alone(pretrain) -> None:
    """Views so mild that a hundred steps suffice to learn something."""
    mild = "views.options={size: 32, locals: 0, area: [0.8, 1.0], jitter_p: 0, rotation_p: 0, blur_p: 0, flip_p: 0}"
    run = pretrain("run", "training.epochs=25", mild, "method.teacher_entropy=0.6", "optimizer.lr=1.0e-2")
    assert _alarms(run) == []


def _figures(entropy: float, mean_entropy: float = 0.9) -> dict[str, float]:
    return {"teacher_entropy": entropy, "mean_entropy": mean_entropy, "teacher_entropy_max": 1.0}


def test_patience_and_speaking_once() -> None:
    watch = CollapseWatch(patience_steps=100)
    spoken = [step for step in range(300) if watch.observe(step, _figures(1.0, 1.0))]
    assert spoken == [100]


@pytest.mark.parametrize("every", [1, 10, 50])
def test_the_average_does_not_depend_on_how_often_it_is_fed(every: int) -> None:
    """Uniform for 60 steps, then sound: forgotten by step 200, whatever the interval."""
    watch = CollapseWatch(patience_steps=200)
    assert not [1 for step in range(0, 600, every) if watch.observe(step, _figures(1.0 if step < 60 else 0.5))]


def test_rank_and_recovery_of_state() -> None:
    watch = CollapseWatch(patience_steps=10)
    watch.observe(9, {"feature_rank": 1.0})
    assert not watch.raised
    assert "span 1.5 dimensions" in watch.observe(12, {"feature_rank": 1.5})[0]
    for step in range(13, 40):
        watch.observe(step, _figures(0.4, 0.05))
    again = CollapseWatch(patience_steps=10)
    again.restore(json.loads(json.dumps(watch.state())))
    assert again.raised == {"rank", "one"}
    assert not again.observe(41, _figures(0.4, 0.05) | {"feature_rank": 1.0})
    assert again.state()["smoothed"] == pytest.approx(watch.state()["smoothed"])


def _codes(code: float, prototypes: float) -> dict[str, float]:
    return {"code_entropy": code, "prototype_entropy": prototypes, "prototype_entropy_max": 1.0}


@pytest.mark.parametrize(
    ("values", "alarm"),
    [
        ({"embedding_spread": 0.01}, "collapse to one point"),
        ({"embedding_spread": 0.6, "loss_by_chance": 4.0, "loss": 3.99}, "nothing learned"),
        ({"embedding_spread": 0.6, "loss_by_chance": 4.0, "method_loss": 4.1, "loss": 2.0}, "nothing learned"),
        ({"embedding_spread": 0.6, "regions_an_image": 0.4}, "hardly any region"),
        (_codes(1.0, 0.9), "collapse to uniform codes"),
        (_codes(0.5, 0.05), "collapse to one prototype"),
    ],
)
def test_methods_without_a_teacher_s_entropy_have_their_own_signs(values: dict[str, float], alarm: str) -> None:
    watch, sound = CollapseWatch(patience_steps=100), CollapseWatch(patience_steps=100)
    spoken = [text for step in range(400) for text in watch.observe(step, values)]
    assert [text.split(":")[0] for text in spoken] == [alarm]
    healthy = _codes(0.5, 0.9) | {"embedding_spread": 0.6, "loss_by_chance": 4.0, "loss": 3.0, "regions_an_image": 5.0}
    assert not [text for step in range(400) for text in sound.observe(step, healthy)]
