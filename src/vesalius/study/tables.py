"""A study's tables: our figures with intervals, the published ones, the trivial baselines, and what is apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.data.store import open_store
from vesalius.evaluation.intervals import draw_resamples, percentile_interval
from vesalius.evaluation.write_result import result_folder
from vesalius.records.result import Result, Score
from vesalius.study.definition import StudyTable
from vesalius.study.run_study import Scored, StudyRun

__all__ = ["study_tables"]

_OF_IMAGES = ("attention", "coordinates")
"""Tasks whose figures every image has of its own, so that arms are compared image by image."""


def study_tables(run: StudyRun) -> str:
    """Return all tables as Markdown; arms that are not scored yet have a dash."""
    parts = [f"# {run.study.about}", ""]
    for table in run.study.tables.values():
        tasks = [task for task in run.tasks if task.task == table.task]
        if tasks:
            parts += [f"## {table.title}", "", *_rows(run, table, tasks), ""]
            parts += [table.note, ""] if table.note else []
            parts += _differences(run, table, tasks)
    return "\n".join(parts)


def _rows(run: StudyRun, table: StudyTable, tasks: Sequence[Scored]) -> list[str]:
    titles = [run.study.arms[arm].title for arm in table.arms]
    baselines = [name.replace("_", " ") for name in table.baselines]
    lines = [
        f"| {' | '.join(['data', 'label', *titles, *baselines])} |",
        "|---" * (2 + len(titles) + len(baselines)) + "|",
    ]
    for task in tasks:
        for label in _labels(run, table, task):
            cells = [_cell(_seeds(run, arm, task, label), table.metric, _own_head) for arm in table.arms]
            published = table.published.get(task.store.name, {}).get(label, {})
            cells = [
                f"{cell}<br>published {published[arm]:.3f}" if arm in published else cell
                for arm, cell in zip(table.arms, cells, strict=True)
            ]
            some = next((found for arm in table.arms if (found := _seeds(run, arm, task, label))), [])
            cells += [_cell(some, table.metric, lambda _, name=name: name) for name in table.baselines]
            lines.append(f"| {' | '.join([task.store.name, label, *cells])} |")
    return lines


def _labels(run: StudyRun, table: StudyTable, task: Scored) -> list[str]:
    found = [one.label for arm in table.arms for seed in run.results(arm, task) for one in seed]
    return list(dict.fromkeys(found))


def _seeds(run: StudyRun, arm: str, task: Scored, label: str) -> list[Result]:
    return [one for seed in run.results(arm, task) for one in seed if one.label == label]


def _own_head(result: Result) -> str:
    """Return the arm that stands for the model: the guided head, or the best one where none was, as MeDINO does."""
    if result.task != "attention":
        return "pretrained"
    notes = {note["arm"]: note["heads"] for note in result.settings.get("arms", [])}
    guided = notes.get("pretrained") != notes.get("fair_head")
    return "pretrained" if guided or "best_head" not in notes else "best_head"


def _cell(results: Sequence[Result], metric: str, arm_of: object) -> str:
    """Lay out a figure with its interval: of the patients for one seed, the seeds' own spread for several."""
    assert callable(arm_of)  # noqa: S101 (for the type checker)
    scores = [score for one in results if (score := _score(one, str(arm_of(one)), metric)) is not None]
    if not scores:
        return "-"
    if len(scores) == 1:
        one = scores[0]
        return f"{one.value:.3f}" if np.isnan(one.low) else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
    values = [one.value for one in scores]
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}, {len(values)} seeds)"


def _score(result: Result, arm: str, metric: str) -> Score | None:
    found = (one for one in result.scores if (one.arm, one.metric) == (arm, metric) and one.fraction == 1.0)
    return next(found, None)


def _differences(run: StudyRun, table: StudyTable, tasks: Sequence[Scored]) -> list[str]:
    """Say of neighbours in the expected order which is better, by the paired bootstrap over patients, first seed."""
    if table.task not in _OF_IMAGES:
        return []
    lines = []
    for task in tasks:
        for label in _labels(run, table, task):
            figures = {arm: _of_images(run, arm, task, label, table.metric) for arm in table.arms}
            there = [arm for arm in table.arms if figures[arm] is not None]
            for worse, better in itertools.pairwise(there):
                lines.append(
                    f"- {task.store.name}, {label}: {run.study.arms[better].title} - {run.study.arms[worse].title} "
                    f"{_difference(task.store, figures[better], figures[worse])}"
                )
    return ["Differences of neighbours (95 %, paired over patients):", "", *lines, ""] if lines else []


def _of_images(run: StudyRun, arm: str, task: Scored, label: str, metric: str) -> pd.Series | None:
    """Return an arm's figure of every image by image id, from the folder of its evaluation."""
    found = _seeds(run, arm, task, label)
    if not found:
        return None
    folder = result_folder(
        run.folder(arm, 0),
        task=task.task,
        label=label,
        fingerprint=open_store(task.store).fingerprint,
        changed=found[0].settings["changed"],
    )
    table = pd.read_parquet(folder / "predictions.parquet")
    own = table[table["arm"] == _own_head(found[0])]
    return own.set_index("image_id")[metric]


def _difference(store: Path, better: pd.Series | None, worse: pd.Series | None) -> str:
    assert better is not None  # noqa: S101 (the caller left out what is not there)
    assert worse is not None  # noqa: S101
    manifest = open_store(store).manifest.set_index("source")
    apart = (better - worse).dropna()
    patients = manifest.loc[apart.index, "patient"].to_numpy()
    resamples = draw_resamples(patients, resamples=1000, seed=0)
    values: npt.NDArray[np.float64] = apart.to_numpy(dtype=np.float64)
    draws = np.concatenate([(weights @ values) / weights.sum(1) for weights in resamples.weights()])
    low, high = percentile_interval(draws)
    word = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]: {word}"
