"""A study's figures as numbers: one cell an arm or baseline, store, label and amount of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vesalius.evaluation.intervals import percentile_interval
from vesalius.records.result import Score
from vesalius.study.definition import StudyTable
from vesalius.study.run_study import StudyRun
from vesalius.study.scored import Scored
from vesalius.study.scores import labels_of, own_arm, results_of, score_of
from vesalius.study.trainings import Draws, Training, Trainings, over_label_draws

__all__ = ["ALIKE", "Cell", "table_cells"]

_NONE, _TRAININGS = math.nan, 1

ALIKE = 1e-9
"""Figures no further apart are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure of a table; NaN where it was not scored.

    Attributes:
        data: Name of the store.
        label: Label or part.
        amount: Of labels, see `vesalius.evaluation.amounts`.
        arm: Of the study; empty for a baseline of the table.
        title: In tables; of a baseline beside an arm, the baseline's.
        role: An arm, a baseline `beside` it, or a `baseline` of the table.
        value: Mean over trainings.
        low: End of the 95 % interval. For one training it is the result's own, of the patients and of single draws of
            labels; for several, every resample draws patients, trainings and draws of labels.
        high: The other end.
        median: Over trainings; where there is one, or all gave the same, over its draws of labels or trainings on them.
        spread: Standard deviation over the same; NaN for one.
        trainings: How many.
        draws: How many draws median and spread are over, where it is draws.
        images: Labelled images learned from, 0 where that is not told.
        published: The paper's figure, NaN where there is none.
    """

    data: str
    label: str
    amount: float
    arm: str
    title: str
    role: Literal["arm", "beside", "baseline"]
    value: float = _NONE
    low: float = _NONE
    high: float = _NONE
    median: float = _NONE
    spread: float = _NONE
    trainings: int = 0
    draws: int = 0
    images: float = 0.0
    published: float = _NONE

    @property
    def place(self) -> tuple[str, str, float]:
        """Store, label and amount, which a row or a column of the table shares."""
        return self.data, self.label, self.amount


def table_cells(run: StudyRun, table: StudyTable, tasks: Sequence[Scored]) -> list[Cell]:
    """Return all cells of a table: place by place the arms, each with what stands beside it, then the baselines."""
    cells = []
    for task in tasks:
        for label in labels_of(run, table, task):
            cells += _at_one_place(run, table, task, label)
    return cells


def _at_one_place(run: StudyRun, table: StudyTable, task: Scored, label: str) -> list[Cell]:
    trainings = Trainings(run, table, task, label)
    published = table.published.get(task.store.name, {}).get(label, {})
    place = {"data": task.store.name, "label": label, "amount": task.fraction}

    def cell(arm: str, baseline: str, title: str, role: Literal["arm", "beside", "baseline"]) -> Cell:
        results = results_of(run, arm, task, label)
        scored = {seed: score_of(one, baseline or own_arm(one), table.metric) for seed, one in results.items()}
        there = {seed: one for seed, one in scored.items() if one is not None}
        figures = _figures(there, trainings, arm, baseline) if there else {}
        paper = published.get(baseline or arm, _NONE) if task.fraction == table.amounts[-1] else _NONE
        own = "" if role == "baseline" else arm
        return Cell(arm=own, title=title, role=role, published=paper, **place, **figures)  # type: ignore[arg-type]

    cells = []
    for arm in table.arms:
        cells.append(cell(arm, "", run.study.arms[arm].title, "arm"))
        if table.beside:
            cells.append(cell(arm, table.beside, table.beside.replace("_", " "), "beside"))
    some = next((arm for arm in table.arms if results_of(run, arm, task, label)), table.arms[0])
    return [*cells, *(cell(some, name, name.replace("_", " "), "baseline") for name in table.baselines)]


def _figures(there: dict[int, Score], trainings: Trainings, arm: str, baseline: str) -> dict[str, float]:
    """Summarise the trainings' scores."""
    values = np.array([one.value for one in there.values()])
    first = next(iter(there.values()))
    interval = (first.low, first.high)
    if len(there) > 1:
        interval = percentile_interval(_over_trainings(list(trainings.of(arm, baseline).values())))
    found = {
        "value": float(values.mean()),
        "low": interval[0],
        "high": interval[1],
        "median": float(np.median(values)),
        "spread": float(values.std(ddof=1)) if len(values) > 1 else _NONE,
        "trainings": len(values),
        "images": first.images,
    }
    if np.ptp(values) <= ALIKE and first.seeds > 1 and not math.isnan(first.median):
        found |= {"median": first.median, "spread": first.spread, "draws": first.seeds}
    return found


def _over_trainings(trainings: Sequence[Training]) -> Draws:
    """Average over trainings that every resample of the patients draws with replacement, and over draws of labels."""
    own = np.stack([over_label_draws(np.stack(one.draws)) for one in trainings])
    return over_label_draws(own, seed=_TRAININGS)  # draws of its own, apart from those of labels
