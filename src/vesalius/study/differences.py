"""Which arms of a study a table can tell apart: paired differences over patients, and over trainings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from vesalius.data.store import open_store
from vesalius.evaluation.image_scores import resampled_means
from vesalius.evaluation.intervals import bootstrap_metrics, draw_resamples, percentile_interval
from vesalius.evaluation.write_result import result_folder
from vesalius.records.result import Result
from vesalius.study.definition import StudyTable
from vesalius.study.run_study import ON_MASKS, Scored, StudyRun
from vesalius.study.scores import labels_of, own_arm, results_of, score_of

__all__ = ["paired_differences"]

_RESAMPLES = 1000
_LEVEL = 0.95
_DISTANCES = ("hd95", "error")  # the smaller the better

_Draws = npt.NDArray[np.float64]


def paired_differences(run: StudyRun, table: StudyTable, tasks: Sequence[Scored]) -> list[str]:
    """Say of pairs of arms which is better.

    The interval is the paired bootstrap's over patients, 95 %, of the mean over trainings (seeds) and draws of labels;
    draws are drawn anew with the patients. What other trainings would give is told by the differences seed by seed,
    with Student's t: patients and trainings must both be apart from 0 for `better`; where the patients alone are, it is
    `better in these trainings`. One training tells nothing of others.

    Pairs are every arm against each of `table.against`, or, where that is empty, neighbours in the table's order.
    """
    lines = []
    for task in tasks:
        for label in labels_of(run, table, task):
            compare = _Comparison(run, table, task, label)
            there = [arm for arm in table.arms if results_of(run, arm, task, label)]
            if table.against:
                pairs = [(other, arm) for other in table.against for arm in there if arm != other]
            else:
                pairs = list(itertools.pairwise(there))
            lines += [line for other, arm in pairs if (line := compare(arm, other))]
    return ["Differences (95 %, paired over patients):", "", *lines, ""] if lines else []


@dataclass(frozen=True, slots=True)
class _Training:
    """What one training of an arm reached: the figure, and its bootstrap distributions, one a draw of labels.

    Patients are drawn alike for all.
    """

    value: float
    draws: list[_Draws]


def _verdict(ours: Mapping[int, _Training], theirs: Mapping[int, _Training], metric: str = "") -> str:
    """Tell the difference of two arms by the seeds that both have."""
    seeds = sorted(ours.keys() & theirs.keys())
    each = np.array([ours[seed].value - theirs[seed].value for seed in seeds])
    low, high = percentile_interval(
        _over_label_draws(_mean(ours, seeds)) - _over_label_draws(_mean(theirs, seeds)), level=_LEVEL
    )
    larger, smaller = ("worse", "better") if metric.startswith(_DISTANCES) else ("better", "worse")
    word = larger if low > 0 else smaller if high < 0 else "not told apart"
    told = f"{each.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
    if len(seeds) < 2:
        return f"{told}: {word}"
    half = float(stats.t.ppf(0.5 + _LEVEL / 2, len(seeds) - 1) * each.std(ddof=1) / np.sqrt(len(seeds)))
    if abs(each.mean()) <= half and word != "not told apart":
        word += " in these trainings"
    listed = ", ".join(f"{one:+.3f}" for one in each)
    return f"{told}, over trainings [{each.mean() - half:+.3f}, {each.mean() + half:+.3f}] of {listed}: {word}"


def _mean(trainings: Mapping[int, _Training], seeds: Sequence[int]) -> _Draws:
    """Average (label draws, resamples) over the trainings."""
    mean: _Draws = np.mean([np.stack(trainings[seed].draws) for seed in seeds], axis=0)
    return mean


def _over_label_draws(table: _Draws) -> _Draws:
    """Average (label draws, resamples) over the draws, which every resample draws with replacement, alike for all."""
    count, resamples = table.shape
    drawn = np.random.default_rng(0).integers(count, size=(count, resamples))
    means: _Draws = np.take_along_axis(table, drawn, axis=0).mean(axis=0)
    return means


class _Comparison:
    """Compares two arms, or an arm with a baseline, on one task and label."""

    def __init__(self, run: StudyRun, table: StudyTable, task: Scored, label: str) -> None:
        self._run, self._table, self._task, self._label = run, table, task, label
        self._store = open_store(task.store)
        self._known: dict[tuple[str, str, frozenset[str] | None], dict[int, _Training]] = {}

    def __call__(self, arm: str, other: str) -> str:
        """Return a line, or nothing where the other was not scored."""
        arms = self._run.study.arms
        # A baseline has no training of its own: it stands in the results of the arm that it is compared with.
        beside = (other, "") if other in arms else (arm, other)
        shared = self._images(arm) & self._images(beside[0]) if self._task.task in ON_MASKS else None
        ours, theirs = self._trainings(arm, "", shared), self._trainings(*beside, shared)
        if not ours.keys() & theirs.keys():
            return ""
        title = arms[other].title if other in arms else other.replace("_", " ")
        about = f"- {self._task.store.name}, {self._label}: {arms[arm].title} - {title}"
        return f"{about} {_verdict(ours, theirs, self._table.metric)}"

    def _images(self, arm: str) -> frozenset[str]:
        """Return what all trainings of an arm were scored on: an exemplar of its own guidance is left out."""
        results = results_of(self._run, arm, self._task, self._label)
        scored = [frozenset(self._predictions(arm, seed, one)["image_id"]) for seed, one in results.items()]
        return frozenset.intersection(*scored) if scored else frozenset()

    def _trainings(self, arm: str, baseline: str, shared: frozenset[str] | None) -> Mapping[int, _Training]:
        """Return the trainings of an arm by seed, or a baseline that stands in their results, on the shared images."""
        key = (arm, baseline, shared)
        if key not in self._known:
            results = results_of(self._run, arm, self._task, self._label)
            found = {seed: self._training(arm, baseline, seed, result, shared) for seed, result in results.items()}
            self._known[key] = {seed: one for seed, one in found.items() if one is not None}
        return self._known[key]

    def _training(
        self, arm: str, baseline: str, seed: int, result: Result, shared: frozenset[str] | None
    ) -> _Training | None:
        inside = baseline or own_arm(result)
        score = score_of(result, inside, self._table.metric)
        if score is None:
            return None
        predictions = self._predictions(arm, seed, result)
        own = predictions[predictions["arm"] == inside].sort_values("image_id")
        if shared is None:
            return _Training(score.value, self._draw_probe(own, result))
        kept = own["image_id"].isin(shared)
        own = own[kept]
        figures: _Draws = own[self._table.metric].to_numpy(dtype=np.float64)
        resamples = draw_resamples(own["patient"].to_numpy(dtype=np.str_), resamples=_RESAMPLES, seed=0)
        value = score.value if kept.all() else float(np.nanmean(figures))
        return _Training(value, [resampled_means(figures, resamples)])

    def _predictions(self, arm: str, seed: int, result: Result) -> pd.DataFrame:
        """Return what the evaluation of one training wrote."""
        folder = result_folder(
            self._run.folder(arm, seed),
            task=self._task.task,
            label=self._label,
            fingerprint=self._store.fingerprint,
            changed=result.settings["changed"],
        )
        return pd.read_parquet(folder / "predictions.parquet")

    def _draw_probe(self, own: pd.DataFrame, result: Result) -> list[_Draws]:
        return [self._draw_labels(one, result) for _, one in own.groupby("seed")]

    def _draw_labels(self, own: pd.DataFrame, result: Result) -> _Draws:
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
