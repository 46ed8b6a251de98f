"""Reading a study's figures: the results of an arm, which arm of a result stands for the model, one score of it."""

from __future__ import annotations

from vesalius.evaluation.amounts import largest_of
from vesalius.records.result import Result, Score
from vesalius.study.definition import StudyTable
from vesalius.study.run_study import StudyRun
from vesalius.study.scored import Scored

__all__ = ["labels_of", "own_arm", "results_of", "score_of"]


def labels_of(run: StudyRun, table: StudyTable, task: Scored) -> list[str]:
    """Return the labels that any arm of the table was scored on, in their order."""
    found = [one.label for arm in table.arms for seed in run.results(arm, task).values() for one in seed]
    return list(dict.fromkeys(found))


def results_of(run: StudyRun, arm: str, task: Scored, label: str) -> dict[int, Result]:
    """Return what an arm got on a label, by seed."""
    return {seed: one for seed, found in run.results(arm, task).items() for one in found if one.label == label}


def own_arm(result: Result) -> str:
    """Return the arm of a result that stands for the model.

    Of attention that is the guided head, or the best one where none was guided, as MeDINO does.
    """
    if result.task != "attention":
        return "pretrained"
    notes = {note["arm"]: note["heads"] for note in result.settings.get("arms", [])}
    guided = notes.get("pretrained") != notes.get("fair_head")
    return "pretrained" if guided or "best_head" not in notes else "best_head"


def score_of(result: Result, arm: str, metric: str) -> Score | None:
    """Return a figure at the largest share of the labels that was scored, where the result has it."""
    found = [one for one in result.scores if (one.arm, one.metric) == (arm, metric)]
    largest = largest_of(one.fraction for one in found)
    return next((one for one in found if one.fraction == largest), None)
