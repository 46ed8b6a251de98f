"""What every training of an arm reached on one task and label, with its bootstrap over the same patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.evaluation.average_precision import average_precision
from vesalius.evaluation.coco_objects import ObjectSet, read_objects
from vesalius.evaluation.delong import compare_aucs
from vesalius.evaluation.detection_table import from_table
from vesalius.evaluation.image_scores import resampled_means, resampled_ratios
from vesalius.evaluation.intervals import bootstrap_metrics, draw_resamples
from vesalius.evaluation.metrics import rank_in_folds
from vesalius.evaluation.segment_scores import POOLED, pooled_pixels
from vesalius.evaluation.write_result import result_folder
from vesalius.records.result import Result
from vesalius.study.definition import StudyTable
from vesalius.study.run_study import StudyRun
from vesalius.study.scored import ON_MASKS, ON_OBJECTS, Scored
from vesalius.study.scores import own_arm, results_of, score_of

__all__ = ["Draws", "Training", "Trainings", "over_label_draws"]

_RESAMPLES = 1000
_PREDICTIONS = "predictions.parquet"

Draws = npt.NDArray[np.float64]
"""A figure in every resample of the patients."""


@dataclass(frozen=True, slots=True)
class Training:
    """What one training of an arm reached: the figure, and its bootstrap distributions, one a draw of labels.

    Patients are drawn alike for all.
    """

    value: float
    draws: list[Draws]


def over_label_draws(table: Draws, *, seed: int = 0) -> Draws:
    """Average (label draws, resamples) over the draws, which every resample draws with replacement, alike for all."""
    count, resamples = table.shape
    drawn = np.random.default_rng(seed).integers(count, size=(count, resamples))
    means: Draws = np.take_along_axis(table, drawn, axis=0).mean(axis=0)
    return means


@lru_cache(maxsize=8)
def _detected(folder: Path, objects: Path) -> tuple[pd.DataFrame, ObjectSet]:
    """Read what a detector's trainings found, and what is there."""
    return pd.read_parquet(folder / _PREDICTIONS), read_objects(objects)


@lru_cache(maxsize=512)
def _resampled(folder: Path, arm: str, seed: int, objects: Path, resamples: int) -> Mapping[str, tuple[float, Draws]]:
    """Resample the patients, or images, of a detector; every table of a study shows some of it."""
    table, there = _detected(folder, objects)
    found = from_table(table, arm, seed, there.truth)
    return average_precision(there.truth, found, resamples=resamples, seed=0, patients=there.scored_patients)


class Trainings:
    """Reads the trainings of arms, and of the baselines in their results, on one task and label of a table."""

    def __init__(self, run: StudyRun, table: StudyTable, task: Scored, label: str) -> None:
        self._run, self._table, self._task, self._label = run, table, task, label
        self._fingerprint = task.fingerprints[0]
        self._known: dict[tuple[str, str, frozenset[str] | None], dict[int, Training]] = {}
        self._read: dict[tuple[str, int], pd.DataFrame] = {}

    def of(self, arm: str, baseline: str = "", shared: frozenset[str] | None = None) -> Mapping[int, Training]:
        """Return the trainings of an arm by seed, or a baseline that stands in their results.

        Args:
            arm: Of the study.
            baseline: `random_init`, `pixels` and the like; the arm itself by default.
            shared: The images to keep to, of a task on masks; by default all that the arm was scored on.
        """
        key = (arm, baseline, shared)
        if key not in self._known:
            results = results_of(self._run, arm, self._task, self._label)
            found = {seed: self._training(arm, baseline, seed, result, shared) for seed, result in results.items()}
            self._known[key] = {seed: one for seed, one in found.items() if one is not None}
        return self._known[key]

    def shared(self, arm: str, other: str) -> frozenset[str] | None:
        """Return the images that two arms were scored on both, of a task on masks."""
        return self._images(arm) & self._images(other) if self._task.task in ON_MASKS else None

    def delong_p(self, arm: str, other: tuple[str, str]) -> float:
        """Return the p of DeLong's test of two ROC-AUCs, of the first training of each and its first draw of labels.

        Args:
            arm: Of the study.
            other: Another arm (and nothing), or the arm and a baseline in its results.

        NaN where the table is of something else, or the label is not binary.
        """
        ours, theirs = self._ranked(arm, ""), self._ranked(*other)
        if ours is None or theirs is None or not ours.index.equals(theirs.index):
            return float("nan")
        positive = ours["positive"].to_numpy(dtype=np.bool_)
        if positive.all() or not positive.any():
            return float("nan")
        patients = ours["patient"].to_numpy(dtype=np.str_)
        return compare_aucs(positive, ours["rank"].to_numpy(), theirs["rank"].to_numpy(), patients).p

    def _ranked(self, arm: str, baseline: str) -> pd.DataFrame | None:
        """Return who is positive and how every image is ranked, by its name."""
        results = results_of(self._run, arm, self._task, self._label)
        seed = min(results, default=None)
        if seed is None or self._table.metric != "roc_auc" or results[seed].kind != "binary":
            return None
        predictions = self._predictions(arm, seed, results[seed])
        own = predictions[predictions["arm"] == (baseline or own_arm(results[seed]))]
        own = own[own["seed"] == own["seed"].min()].sort_values("image_id")
        positive = results[seed].settings["classes"][1]
        folds = own["fold"].to_numpy() if "fold" in own else None
        ranks = rank_in_folds(own[[f"score_{positive}"]].to_numpy(dtype=np.float64), folds)[:, 0]
        found = {"positive": own[f"truth_{positive}"] > 0.5, "rank": ranks, "patient": own["patient"]}
        return pd.DataFrame(found).set_index(own["image_id"])

    def _images(self, arm: str) -> frozenset[str]:
        """Return what all trainings of an arm were scored on: an exemplar of its own guidance is left out."""
        results = results_of(self._run, arm, self._task, self._label)
        scored = [frozenset(self._predictions(arm, seed, one)["image_id"]) for seed, one in results.items()]
        return frozenset.intersection(*scored) if scored else frozenset()

    def _training(
        self, arm: str, baseline: str, seed: int, result: Result, shared: frozenset[str] | None
    ) -> Training | None:
        inside = baseline or own_arm(result)
        score = score_of(result, inside, self._table.metric)
        if score is None:
            return None
        if self._task.task in ON_OBJECTS:
            folder, count = self._folder(arm, seed, result), int(result.settings["bootstrap"])
            each = [_resampled(folder, inside, draw, self._task.store, count) for draw in range(score.seeds)]
            return Training(score.value, [one[self._table.metric][1] for one in each])
        predictions = self._predictions(arm, seed, result)
        own = predictions[predictions["arm"] == inside].sort_values("image_id")
        if self._task.task not in ON_MASKS:
            return Training(score.value, [self._draw_labels(one, result) for _, one in own.groupby("seed")])
        if shared is not None:
            own = own[own["image_id"].isin(shared)]
        draws = [one for _, one in own.groupby("seed")] if "seed" in own else [own]
        figures = [self._draw_masks(one) for one in draws]
        return Training(float(np.mean([value for value, _ in figures])), [drawn for _, drawn in figures])

    def _predictions(self, arm: str, seed: int, result: Result) -> pd.DataFrame:
        """Return what the evaluation of one training wrote."""
        if (arm, seed) not in self._read:
            self._read[arm, seed] = pd.read_parquet(self._folder(arm, seed, result) / _PREDICTIONS)
        return self._read[arm, seed]

    def _folder(self, arm: str, seed: int, result: Result) -> Path:
        return result_folder(
            self._run.folder(arm, seed),
            task=self._task.task,
            label=self._label,
            fingerprint=self._fingerprint,
            changed=result.settings["changed"],
        )

    def _draw_masks(self, own: pd.DataFrame) -> tuple[float, Draws]:
        """Return the figure of one draw of labels of a task on masks, and resample its patients."""
        resamples = draw_resamples(own["patient"].to_numpy(dtype=np.str_), resamples=_RESAMPLES, seed=0)
        if self._table.metric == POOLED:
            common, union = pooled_pixels(own)
            return float(resampled_ratios(common, union, None)[0]), resampled_ratios(common, union, resamples)
        figures: Draws = own[self._table.metric].to_numpy(dtype=np.float64)
        return float(np.nanmean(figures)), resampled_means(figures, resamples)

    def _draw_labels(self, own: pd.DataFrame, result: Result) -> Draws:
        """Resample the patients for one draw of labels."""
        classes, metric = result.settings["classes"], self._table.metric
        truth = own[[f"truth_{name}" for name in classes]].to_numpy(dtype=np.float64)
        scores = own[[f"score_{name}" for name in classes]].to_numpy(dtype=np.float64)
        labels = truth if result.kind == "multilabel" else truth.argmax(axis=1)
        resamples = draw_resamples(own["patient"].to_numpy(dtype=np.str_), resamples=_RESAMPLES, seed=0)
        how: dict[str, Any] = {
            "kind": result.kind,
            "metrics": [metric],
            "folds": own["fold"].to_numpy() if "fold" in own else None,
        }
        return bootstrap_metrics(labels, scores, resamples, **how)[metric]
