"""A study's tables: our figures with intervals, the published ones, the trivial baselines, and what is apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vesalius.records.result import Result
from vesalius.study.definition import StudyTable
from vesalius.study.differences import paired_differences
from vesalius.study.run_study import Scored, StudyRun
from vesalius.study.scores import labels_of, own_arm, results_of, score_of

__all__ = ["study_tables"]


def study_tables(run: StudyRun) -> str:
    """Return all tables as Markdown; arms that are not scored yet have a dash."""
    parts = [f"# {run.study.about}", ""]
    for table in run.study.tables.values():
        tasks = [task for task in run.tasks if task.is_of(table)]
        if tasks:
            parts += [f"## {table.title}", "", *_rows(run, table, tasks), ""]
            parts += [table.note, ""] if table.note else []
            parts += paired_differences(run, table, tasks)
    return "\n".join(parts)


def _rows(run: StudyRun, table: StudyTable, tasks: Sequence[Scored]) -> list[str]:
    """Lay out the cells, a row a label or a row an arm."""
    labels = [(task, label) for task in tasks for label in labels_of(run, table, task)]
    titles = [run.study.arms[arm].title for arm in table.arms] + [name.replace("_", " ") for name in table.baselines]
    cells = [_cells(run, table, task, label) for task, label in labels]
    if table.rows == "arms":
        head = ["arm", *(f"{task.store.name}, {label}" for task, label in labels)]
        body = [[title, *column] for title, column in zip(titles, zip(*cells, strict=True), strict=True)]
    else:
        head = ["data", "label", *titles]
        body = [[task.store.name, label, *row] for (task, label), row in zip(labels, cells, strict=True)]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in body)]


def _cells(run: StudyRun, table: StudyTable, task: Scored, label: str) -> list[str]:
    """Return the figures of all arms and baselines on one label."""
    found = [list(results_of(run, arm, task, label).values()) for arm in table.arms]
    cells = [_cell(results, table.metric, own_arm) for results in found]
    if table.beside:
        word = table.beside.replace("_", " ")
        twins = [_cell(results, table.metric, _always(table.beside)) for results in found]
        cells = [f"{cell}<br>{word} {twin}" if cell != "-" else cell for cell, twin in zip(cells, twins, strict=True)]
    published = table.published.get(task.store.name, {}).get(label, {})
    cells = [
        f"{cell}<br>published {published[arm]:.3f}" if arm in published else cell
        for arm, cell in zip(table.arms, cells, strict=True)
    ]
    some = next((results for results in found if results), [])
    return [*cells, *(_cell(some, table.metric, _always(name)) for name in table.baselines)]


def _always(name: str) -> Callable[[Result], str]:
    return lambda _: name


def _cell(results: Sequence[Result], metric: str, arm_of: Callable[[Result], str]) -> str:
    """Lay out a figure with its interval: of the patients for one seed, the seeds' own spread for several."""
    scores = [score for one in results if (score := score_of(one, arm_of(one), metric)) is not None]
    if not scores:
        return "-"
    if len(scores) == 1:
        one = scores[0]
        return f"{one.value:.3f}" if np.isnan(one.low) else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
    values = [one.value for one in scores]
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}, {len(values)} seeds)"
