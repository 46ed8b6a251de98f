"""What a study leaves: every figure as a row, and its tables as Markdown, LaTeX, CSV and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from vesalius.atomic import replace_text, replacing
from vesalius.locks import holding
from vesalius.records.result import Result
from vesalius.study.figures import draw_table
from vesalius.study.run_study import StudyRun
from vesalius.study.tables import FilledTable, fill_tables, join_tables, study_tables

__all__ = ["long_results", "write_joined", "write_study"]

_FOLDER = "tables"
_ARM = ("arm", "title", "recipe", "set", "seed")
_TASK = ("task", "decoder", "parts", "image_size", "features", "k", "folds", "draws", "data")
_SIDES = ("label", "kind", "protocol", "train_images", "test_images", "train_patients", "test_patients")
_FIGURE = ("scored", "of", "metric", "value", "low", "high", "fraction", "spread", "median", "images")
_COLUMNS = (*_ARM, *_TASK, *_SIDES, *_FIGURE)


def write_study(run: StudyRun) -> Path:
    """Write all that is known of a study, and return the file of its tables.

    `results.parquet` and `results.csv` hold a row a figure; `tables.md` all tables; `tables/` each of them as `.csv`,
    `.tex` and `.png`, with its comparisons as `-differences.csv`. One process of the study writes at a time.
    """
    with run.writing():
        return _write(run.out, run.study.about, fill_tables(run), long_results(run), run.failures())


def write_joined(studies: Callable[[], Sequence[StudyRun]], out: Path) -> Path:
    """Write what several studies of one definition found, store by store, as `write_study` does of one.

    Args:
        studies: Asked for them while no other process writes.
        out: Where to.
    """
    with holding(out / ".locks" / "study", wait=True):
        runs = studies()
        results = pd.concat([long_results(run) for run in runs], ignore_index=True)
        failures = {f"{run.out.name}: {title}": why for run in runs for title, why in run.failures().items()}
        return _write(out, runs[0].study.about, join_tables([fill_tables(run) for run in runs]), results, failures)


def _write(
    out: Path, about: str, filled: Sequence[FilledTable], results: pd.DataFrame, failures: Mapping[str, str]
) -> Path:
    _write_results(results, out)
    for one in filled:
        _write_table(one, out / _FOLDER)
    file = out / "tables.md"
    replace_text(file, study_tables(about, filled, failures))
    return file


def long_results(run: StudyRun) -> pd.DataFrame:
    """Return a row for each arm, training, task, store, label, amount of labels, baseline and metric.

    The last columns are those of `vesalius.records.result.Score`, whose `arm` is `scored` here and whose `seeds` are
    `of`; `seed` is the training's. Of classifiers the calibration of the first draw (`ece`, `brier`) is among the
    metrics.
    """
    rows: list[dict[str, Any]] = []
    for name, arm in run.study.arms.items():
        about = {"arm": name, "title": arm.title, "recipe": arm.recipe, "set": json.dumps(list(arm.set))}
        for task in run.tasks:
            how = {key: getattr(task, key) for key in ("task", "decoder", "image_size", "features", "folds", "draws")}
            how["parts"] = "+".join(task.parts)
            how["k"] = task.k if task.task == "knn" else None
            for seed, results in run.results(name, task).items():
                rows += _rows(about | {"seed": seed} | how | {"data": task.store.name}, results)
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _rows(about: Mapping[str, Any], results: Sequence[Result]) -> list[dict[str, Any]]:
    rows = []
    for one in results:
        told = {name: getattr(one, name) for name in _SIDES}
        for score in one.scores:
            figures = asdict(score)
            rows.append({**about, **told, "scored": figures.pop("arm"), "of": figures.pop("seeds"), **figures})
        for arm, calibration in one.settings.get("calibration", {}).items():  # of the first draw, without intervals
            which = {**about, **told, "scored": arm, "of": 1, "fraction": one.settings["fractions"][-1]}
            rows += [which | {"metric": metric, "value": calibration[metric]} for metric in ("ece", "brier")]
    return rows


def _write_results(table: pd.DataFrame, out: Path) -> None:
    with replacing(out / "results.parquet") as partial:
        table.to_parquet(partial, index=False)
    replace_text(out / "results.csv", str(table.to_csv(index=False)))


def _write_table(one: FilledTable, folder: Path) -> None:
    replace_text(folder / f"{one.name}.csv", one.as_csv())
    replace_text(folder / f"{one.name}.tex", one.as_latex())
    if one.differences:
        replace_text(folder / f"{one.name}-differences.csv", one.differences_as_csv())
    draw_table(one, folder / f"{one.name}.png")
