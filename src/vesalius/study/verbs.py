"""What a study asks of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesalius.records.result import Result
from vesalius.study.definition import StudyArm
from vesalius.study.label_trainings import LabelTraining
from vesalius.study.scored import Scored
from vesalius.training.planning import Plan

__all__ = ["Verbs"]


@dataclass(frozen=True, slots=True)
class Verbs:
    """What a study does with each arm; the pipeline's own verbs, their further options filled in.

    Attributes:
        plan: (arms) -> what a training of each will take.
        pretrain: (recipe, overrides, what no override of all arms may change, out, resume) -> None.
        score: (run, task) -> results.
        price: (arm, task) -> what its trainings on labels take; None where there are none.
    """

    plan: Callable[[Sequence[StudyArm]], Sequence[Plan]]
    pretrain: Callable[[str, Sequence[str], Sequence[str], Path, bool], Any]
    score: Callable[[Path, Scored], Sequence[Result]]
    price: Callable[[StudyArm, Scored], LabelTraining | None]
