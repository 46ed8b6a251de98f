"""A run folder read back: what was trained, how it went, what it scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vesalius.errors import RunError
from vesalius.evaluation.write_result import scored_store
from vesalius.records.metric_columns import METRIC_COLUMNS
from vesalius.records.result import Result
from vesalius.report.wording import variant

__all__ = ["Evaluation", "Run", "read_run", "read_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One task on one label, as `vesalius evaluate` left it.

    Attributes:
        result: Scores and verdict.
        fingerprint: The first digits of the fingerprint of the store that it was scored on, from the folder's name.
        neighbours: The content of `neighbours.json`, or None.
    """

    result: Result
    fingerprint: str
    neighbours: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything a report reads from one run folder.

    Attributes:
        name: What tells this run from the others on the page.
        path: The folder.
        about: `run.json`.
        recipe: The text of `recipe.yaml`, empty where there is none.
        architecture: The backbone's name from `backbone/config.json`, empty where there is none yet.
        input_size: (height, width) that belongs to the weights, from the same file; None where it does not say.
        metrics: `metrics.csv`, the last value of each step where a resumed run wrote a step twice.
        evaluations: In the order of label and task.
        pictures: `views` and `attention` to their files, where they are.
        problems: What could not be read, in words for the page.
    """

    name: str
    path: Path
    about: Mapping[str, Any]
    recipe: str
    architecture: str
    input_size: tuple[int, int] | None
    metrics: pd.DataFrame
    evaluations: tuple[Evaluation, ...]
    pictures: Mapping[str, Path]
    problems: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """`running`, `done` or `interrupted`; `unknown` where `run.json` does not say."""
        return str(self.about.get("status", "unknown"))


def read_runs(paths: Sequence[Path]) -> tuple[Run, ...]:
    """Read several runs and give them names that differ; a folder named twice is read once.

    Raises:
        RunError: No folder was given, or one of them is no run folder.
    """
    folders = list(dict.fromkeys(Path(path).resolve() for path in paths))
    if not folders:
        raise RunError("a report needs at least one run folder, got none; name one written by `vesalius pretrain`")
    short = [folder.name for folder in folders]
    names = [
        name if short.count(name) == 1 else f"{folder.parent.name}/{name}"
        for name, folder in zip(short, folders, strict=True)
    ]
    numbered = [n if names.count(n) == 1 else f"{n} ({index + 1})" for index, n in enumerate(names)]
    return tuple(read_run(folder, name=name) for folder, name in zip(folders, numbered, strict=True))


def read_run(path: Path, *, name: str = "") -> Run:
    """Read one run folder.

    Parts that are damaged are listed in `problems` and left out: one bad file must not hide the others.

    Raises:
        RunError: The folder is no run folder, or its `run.json` cannot be read.
    """
    problems: list[str] = []
    config = _json(path / "backbone" / "config.json", problems) or {}
    return Run(
        name=name or path.resolve().name,
        path=path,
        about=_about(path),
        recipe=_text(path / "recipe.yaml"),
        architecture=str(config.get("architecture", "")),
        input_size=_input_size(config),
        metrics=_metrics(path / "metrics.csv", problems),
        evaluations=_evaluations(path / "evaluations", problems),
        pictures={
            kind: file for kind in ("views", "attention") if (file := path / "pictures" / f"{kind}.png").is_file()
        },
        problems=tuple(problems),
    )


def _input_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    ours = config.get("vesalius")
    size = ours.get("image_size") if isinstance(ours, Mapping) else None
    if isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size[0], size[1]
    return None


def _about(path: Path) -> Mapping[str, Any]:
    expected = "expected the folder that `vesalius pretrain RECIPE --data STORE --out RUN` writes, with run.json in it"
    if not path.is_dir():
        arrived = "is a file, not a folder" if path.exists() else "does not exist"
        raise RunError(f"{path}: {arrived}; {expected}")
    file = path / "run.json"
    if not file.is_file():
        runs = sorted(child.parent.name for child in path.glob("*/run.json"))
        hint = f"; did you mean one of the runs inside it: {', '.join(runs[:5])}?" if runs else ""
        found = ", ".join(sorted(child.name for child in path.iterdir())[:6]) or "nothing"
        raise RunError(f"{path}: is not a run folder: there is no run.json (found: {found}); {expected}{hint}")
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{file}: cannot be read ({error}); restore it, or train again into a new folder") from error
    if not isinstance(about, dict):
        raise RunError(
            f"{file}: holds a {type(about).__name__}, expected an object with status, recipe, data; {expected}"
        )
    return about


def _metrics(file: Path, problems: list[str]) -> pd.DataFrame:
    empty = pd.DataFrame({column: pd.Series(dtype="float64") for column in METRIC_COLUMNS})
    if not file.is_file():
        return empty
    try:
        table = pd.read_csv(file, usecols=list(METRIC_COLUMNS), on_bad_lines="skip")
    except (ValueError, OSError) as error:
        problems.append(f"metrics.csv could not be read ({error}), so there are no curves.")
        return empty
    for column in ("step", "epoch", "seconds", "value"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    table = table.dropna(subset=["step", "name"])
    return table.drop_duplicates(["name", "step"], keep="last").sort_values("step", kind="stable", ignore_index=True)


def _evaluations(folder: Path, problems: list[str]) -> tuple[Evaluation, ...]:
    found = []
    for file in sorted(folder.glob("*/result.json")):
        if file.parent.name.endswith(".partial"):  # an evaluation is writing it just now
            continue
        values = _json(file, problems)
        if values is None:
            continue
        try:
            result = Result.from_dict(values)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            problems.append(f"evaluations/{file.parent.name}/result.json is not a result ({error}) and is left out.")
            continue
        neighbours = _json(file.with_name("neighbours.json"), problems)
        fingerprint = scored_store(file.parent)
        found.append(Evaluation(result=result, fingerprint=fingerprint, neighbours=neighbours))
    return tuple(
        sorted(found, key=lambda each: (each.result.label, each.fingerprint, each.result.task, variant(each.result)))
    )


def _json(file: Path, problems: list[str]) -> Mapping[str, Any] | None:
    if not file.is_file():
        return None
    place = "/".join(file.parts[-3:]) if "evaluations" in file.parts[-3:] else "/".join(file.parts[-2:])
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        problems.append(f"{place} could not be read ({error}) and is left out.")
        return None
    if not isinstance(values, dict):
        problems.append(f"{place} does not hold an object and is left out.")
        return None
    return values


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
