"""What the answers of a checklist are taken from: runs, their stores, and what the page already says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from vesalius.data.store import Store
from vesalius.evaluation.targets import label_names
from vesalius.records.result import Result
from vesalius.report.cases import CaseGallery
from vesalius.report.data_sheet import DataSheet
from vesalius.report.redaction import recipe_without_folders
from vesalius.report.run_folder import Evaluation, Run
from vesalius.report.score_rows import ScoreRow
from vesalius.report.stores import Stores

__all__ = ["Answer", "ScoredStore", "Told", "a_run", "recipe_of", "scored_stores"]

Answer = tuple[str, ...]
"""Sentences; empty where the runs do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What answers may be taken from.

    Attributes:
        runs: The runs of the page.
        stores: Those that were found.
        sheets: Of every store that was trained or scored on; `missing` where one was not found.
        rows: Every headline score.
        cases: Explained cases.
    """

    runs: Sequence[Run]
    stores: Stores
    sheets: Sequence[DataSheet]
    rows: Sequence[ScoreRow]
    cases: Sequence[CaseGallery]

    @property
    def found(self) -> list[DataSheet]:
        """The sheets of stores that were found."""
        return [sheet for sheet in self.sheets if not sheet.missing]

    @property
    def evaluations(self) -> list[Evaluation]:
        """All of all runs."""
        return [each for run in self.runs for each in run.evaluations]

    @property
    def results(self) -> list[Result]:
        """All of all runs."""
        return [each.result for each in self.evaluations]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredStore:
    """A store that was scored on.

    Attributes:
        title: What tells it from others on the page.
        store: The store.
        labels: Those of its labels that were scored; parts of masks are none.
    """

    title: str
    store: Store
    labels: tuple[str, ...]


def a_run(told: Told, say: Callable[[Run], str]) -> Answer:
    """Ask every run; what all say alike is said once, else each with its name. A run that says nothing is left out."""
    said = {run.name: words for run in told.runs if (words := say(run))}
    if len(set(said.values())) == 1 and len(said) == len(told.runs):
        return (next(iter(said.values())),)
    return tuple(f"{name}: {words}" if len(told.runs) > 1 else words for name, words in said.items())


def recipe_of(run: Run) -> Mapping[str, Any]:
    """Return a run's recipe, without folders; empty where there is none that can be read."""
    try:
        content = yaml.safe_load(recipe_without_folders(run.recipe))
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def scored_stores(told: Told) -> tuple[ScoredStore, ...]:
    """Return the stores that were scored on, with the labels that were scored there."""
    labels: dict[str, dict[str, None]] = {}
    opened: dict[str, Store] = {}
    for each in told.evaluations:
        store = told.stores.of(each.fingerprint)
        if store is not None:
            opened[store.fingerprint] = store
            names = [name for name in label_names(store, each.result.label) if name in store.labels]
            labels.setdefault(store.fingerprint, {}).update(dict.fromkeys(names))
    return tuple(
        ScoredStore(title=told.stores.title(store), store=store, labels=tuple(labels[key]))
        for key, store in opened.items()
    )
