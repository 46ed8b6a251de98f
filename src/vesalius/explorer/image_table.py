"""The table behind the page: a row an image, its split, labels, and what every evaluation of a run said of it.

It names no patient and no file: hospitals put ids into names, and the pseudonyms of patients tell who is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.data.manifest import label_column
from vesalius.data.store import Store
from vesalius.errors import RunError
from vesalius.evaluation.write_result import read_result, scored_store
from vesalius.records.result import Result

__all__ = ["image_table"]

_DENSE = {"dice": "Dice", "iou": "IoU"}
_TASKS = {"knn": "nearest neighbours", "linear": "linear probe", "finetune": "fine-tuned", "segment": "segmentation"}
_FEW = 20
_Column = dict[str, Any]


def image_table(store: Store, runs: Sequence[Path], *, text_labels: bool = False) -> dict[str, Any]:
    """Return plain types for JSON: `ids`, `columns` (split and labels), `answers` (evaluations) and `left_out`.

    A column is of kind `category` (`classes`, and `values` that count them, null where not known) or `number`
    (`values`). An answer has the run's number, a title and one of two kinds: `classes` with `truth` and `scores`, a
    list a class; or `number`, a list of values where higher is better.

    Args:
        store: The images.
        runs: Run folders, whose evaluations of this store are read.
        text_labels: Also labels that are free text, or a whole number of each image's own: a table that was given with
            the images may hold names and record numbers. They are counted in `left_out` otherwise.
    """
    problems: list[str] = []
    answers = [answer for number, run in enumerate(runs) for answer in _answers(run, number, store, problems)]
    shown = [name for name in sorted(store.labels) if text_labels or not _may_name(store, name)]
    return {
        "ids": [str(one) for one in store.manifest["image_id"]],
        "columns": [_split(store), *(_label(store, name) for name in shown)],
        "left_out": len(store.labels) - len(shown),
        "answers": answers,
        "problems": problems,
    }


def _split(store: Store) -> _Column:
    classes = ["train", "val", "test"]
    values = [classes.index(str(one)) for one in store.manifest["split"]]
    return {"key": "split", "title": "Split", "kind": "category", "classes": classes, "values": values}


def _may_name(store: Store, name: str) -> bool:
    """Say whether a label may stand for a person: free text, or whole numbers of which no two images share one."""
    kind, held = str(store.labels[name]["kind"]), store.manifest[label_column(name)].dropna()
    if kind == "number":
        return len(held) > _FEW and bool((held % 1 == 0).all()) and held.nunique() > 0.5 * len(held)
    return kind == "text"


def _label(store: Store, name: str) -> _Column:
    about, held = store.labels[name], store.manifest[label_column(name)]
    told = str(about.get("description", ""))
    told = "" if told.startswith("column ") else told  # of a table, whose file it names
    column = {"key": f"label:{name}", "title": name.replace("_", " "), "about": told}
    kind = str(about["kind"])
    if kind == "text":
        classes = sorted({str(one) for one in held.dropna()})
        places = {one: place for place, one in enumerate(classes)}
        values: list[Any] = [None if pd.isna(one) else places[str(one)] for one in held]
        return column | {"kind": "category", "classes": classes, "values": values}
    numbers = held.to_numpy(dtype=np.float64, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    if kind == "number" or (known != np.round(known)).any():  # an uncertain label may lie between its classes
        return column | {"kind": "number", "values": _plain(numbers)}
    classes = [str(one) for one in about["classes"]] or ["no", "yes"]
    return column | {"kind": "category", "classes": classes, "values": _whole(numbers)}


def _answers(run: Path, number: int, store: Store, problems: list[str]) -> list[_Column]:
    found: list[_Column] = []
    for folder in (path.parent for path in sorted((run / "evaluations").glob("*/result.json"))):
        predictions = folder / "predictions.parquet"
        if scored_store(folder) != store.fingerprint[:8] or not predictions.is_file():
            continue
        try:
            result, table = read_result(folder), pd.read_parquet(predictions)
            table = table[table["arm"] == "pretrained"]
            answer = _answer(result, table, store)
        except (RunError, OSError, ValueError, KeyError) as error:
            problems.append(f"{folder.name}: its predictions cannot be read ({type(error).__name__}) and are left out.")
            continue
        if answer is not None:
            about: _Column = {"key": f"{number}:{folder.name}", "run": number, "evaluation": folder.name}
            found.append(about | {"notes": _notes(result, table)} | answer)
    titles = [one["title"] for one in found]
    for one in found:
        if titles.count(one["title"]) > 1:
            one["title"] += f" ({one['evaluation']})"
    return found


def _notes(result: Result, table: pd.DataFrame) -> list[str]:
    """Say what tells these scores from those that the evaluation summed up."""
    notes = []
    draws = table["seed"].nunique() if "seed" in table.columns else 1
    if draws > 1:
        notes.append(f"Scores are means over {draws} draws of labels.")
    if result.protocol == "folds" and any(str(name).startswith("score_") for name in table.columns):
        notes.append("Each fold has a classifier of its own; their scores stand in one order here.")
    return notes


def _answer(result: Result, table: pd.DataFrame, store: Store) -> _Column | None:
    """Return what an evaluation said of each image; None of tasks that say nothing of single images."""
    title = f"{result.label.replace('_', ' ')}: {_TASKS.get(result.task, result.task)}"
    classes = [str(name).removeprefix("score_") for name in table.columns if str(name).startswith("score_")]
    if classes:
        several = result.kind == "multilabel"
        places = _rows_of(store, "image_id", table["image_id"])
        scores = [_mean(places, table[f"score_{one}"], len(store)) for one in classes]
        truth = [_mean(places, table[f"truth_{one}"], len(store)) for one in classes]
        about: _Column = {"kind": "classes", "classes": classes, "several": several}
        plain = [_plain(one) for one in scores]
        if several:
            return {"title": title, **about, "scores": plain, "truth": [_whole(one) for one in truth]}
        stacked = np.stack(truth)
        known = ~np.isnan(stacked).any(0)
        own = np.where(known, np.nan_to_num(stacked).argmax(0), np.nan)
        return {"title": title, **about, "scores": plain, "truth": _whole(own)}
    metric = next((one for one in _DENSE if one in table.columns), None)
    if result.task != "segment" or metric is None:
        return None
    whose = "image_id" if table["image_id"].isin(store.manifest["image_id"]).all() else "patient"
    values = _values(store, whose, table, metric)
    return {"title": f"{title}, {_DENSE[metric]}", "kind": "number", "values": _plain(values)}


def _values(store: Store, whose: str, table: pd.DataFrame, metric: str) -> npt.NDArray[np.float64]:
    """Return a metric an image; a volume's, of its patient, at each of its images."""
    by = table.groupby(whose)[metric].mean()
    return np.asarray(store.manifest[whose].map(by), dtype=np.float64)


def _rows_of(store: Store, column: str, wanted: pd.Series[Any]) -> npt.NDArray[np.int64]:
    places = pd.Series(np.arange(len(store)), index=store.manifest[column].to_numpy())
    return np.asarray(places.loc[wanted.to_numpy()], dtype=np.int64)


def _mean(places: npt.NDArray[np.int64], values: pd.Series[Any], images: int) -> npt.NDArray[np.float64]:
    """Average over the draws of an image; NaN where there is none."""
    own = values.to_numpy(dtype=np.float64, na_value=np.nan)
    total, count = np.zeros(images), np.zeros(images)
    np.add.at(total, places, own)
    np.add.at(count, places, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / count)


def _plain(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(one) else round(float(one), 4) for one in values]


def _whole(values: npt.NDArray[np.float64]) -> Sequence[int | None]:
    return [None if np.isnan(one) else round(float(one)) for one in values]
