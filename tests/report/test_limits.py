"""What the figures do not show: only what holds for the runs is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vesalius.evaluation.write_result import read_result, write_result
from vesalius.report.limits import limits
from vesalius.report.run_folder import read_run

_DRAWN_ONCE = "How much the choice of labels matters"


def test_one_draw_of_few_labels_is_told_and_chance_needs_none(build_run: Callable[..., Path], tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    usual = limits([read_run(run)])
    assert not any(_DRAWN_ONCE in words for words in usual)
    folder = next((run / "evaluations").glob("knn-effusion-*"))
    result = read_result(folder)
    chance = [replace(score, fraction=0.1) if score.arm == "chance" else score for score in result.scores]
    write_result(folder, replace(result, scores=tuple(chance)))
    assert limits([read_run(run)]) == usual
    once = [replace(score, seeds=1) for score in result.scores]
    write_result(folder, replace(result, scores=tuple(once)))
    assert any(_DRAWN_ONCE in words for words in limits([read_run(run)]))


def test_state_and_alarms_are_told(build_run: Callable[..., Path], tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit", about={"status": "interrupted", "alarms": ["collapse"]})
    said = limits([read_run(run)])
    assert "has not finished" in said[0]
    assert "alarm was raised" in said[1]
