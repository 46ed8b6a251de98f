"""The headline score of every evaluation with its baselines, a row each: for cards and checklists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vesalius.evaluation.amounts import labels_words
from vesalius.records.result import Score
from vesalius.report.run_folder import Run
from vesalius.report.standing import measured
from vesalius.report.stores import Stores
from vesalius.report.wording import ARMS, METRICS, figure, plain_name, task_name

__all__ = ["ScoreRow", "score_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One evaluation in words.

    Attributes:
        run: The run's name.
        label: The label, and the store it is of.
        task: How it was scored.
        labels: The amount of labels learned from; empty where none were.
        metric: The metric's name.
        pretrained: Value and interval, or `not measured`.
        baselines: Name of a baseline to its value and interval.
    """

    run: str
    label: str
    task: str
    labels: str
    metric: str
    pretrained: str
    baselines: Mapping[str, str]


def score_rows(runs: Sequence[Run], stores: Stores) -> tuple[ScoreRow, ...]:
    """Return a row an evaluation, in the order of the page."""
    rows = []
    for run in runs:
        for each in run.evaluations:
            head = measured(each.result)
            where = stores.title_of(each.fingerprint)
            rows.append(
                ScoreRow(
                    run=run.name,
                    label=f"{plain_name(each.result.label)} ({where})",
                    task=task_name(each.result),
                    labels="" if each.result.protocol == "masks" else labels_words(head.fraction),
                    metric=METRICS.get(head.metric, plain_name(head.metric)),
                    pretrained=_words(head.scores.get("pretrained")),
                    baselines={
                        words: _words(head.scores[arm])
                        for arm, words in ARMS.items()
                        if arm in head.scores and arm != "pretrained"
                    },
                )
            )
    return tuple(rows)


def _words(score: Score | None) -> str:
    if score is None:
        return "not measured"
    interval = f" ({figure(score.low)} to {figure(score.high)})" if score.high > score.low else ""
    return f"{figure(score.value)}{interval}"
