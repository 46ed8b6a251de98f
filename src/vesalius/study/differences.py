"""Which arms of a study a table can tell apart: paired differences, resampled over patients and trainings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.data.store import open_store
from vesalius.evaluation.image_scores import resampled_means
from vesalius.evaluation.intervals import bootstrap_metrics, draw_resamples, paired_interval
from vesalius.evaluation.write_result import result_folder
from vesalius.records.result import Result
from vesalius.study.definition import StudyTable
from vesalius.study.run_study import ON_MASKS, Scored, StudyRun
from vesalius.study.scores import labels_of, own_arm, results_of, score_of

__all__ = ["paired_differences"]

_RESAMPLES = 1000

_Draws = npt.NDArray[np.float64]


def paired_differences(run: StudyRun, table: StudyTable, tasks: Sequence[Scored]) -> list[str]:
    """Say of pairs of arms which is better, 95 % by the paired bootstrap over patients.

    The difference is that of the means over trainings (seeds) and draws of labels; where there are several, every
    resample draws them anew as well as the patients, and the differences seed by seed stand beside.

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
class _Figure:
    """What the trainings of one arm reached.

    Attributes:
        values: The figure, one a training.
        draws: Bootstrap distributions, one a training and draw of labels; patients are drawn alike for all.
    """

    values: list[float]
    draws: list[list[_Draws]]

    def resampled(self) -> _Draws:
        """Return the distribution of the mean: every resample draws trainings and draws of labels anew as well."""
        table = np.stack([np.stack(of_one) for of_one in self.draws])
        return _mean_over_drawn(_mean_over_drawn(table))


class _Comparison:
    """Compares two arms, or an arm with a baseline, on one task and label."""

    def __init__(self, run: StudyRun, table: StudyTable, task: Scored, label: str) -> None:
        self._run, self._table, self._task, self._label = run, table, task, label
        self._store = open_store(task.store)
        self._known: dict[tuple[str, str], _Figure | None] = {}

    def __call__(self, arm: str, other: str) -> str:
        """Return a line, or nothing where the other was not scored."""
        arms = self._run.study.arms
        # A baseline has no training of its own: it stands in the results of the arm that it is compared with.
        beside = (other, "") if other in arms else (arm, other)
        ours, theirs = self._figure(arm, ""), self._figure(*beside)
        if ours is None or theirs is None:
            return ""
        low, high = paired_interval([ours.resampled()], [theirs.resampled()])
        word = "better" if low > 0 else "worse" if high < 0 else "not told apart"
        title = arms[other].title if other in arms else other.replace("_", " ")
        each = [one - two for one, two in zip(ours.values, theirs.values, strict=False)]
        seeds = f" (seed by seed {', '.join(f'{one:+.3f}' for one in each)})" if len(each) > 1 else ""
        return (
            f"- {self._task.store.name}, {self._label}: {arms[arm].title} - {title} "
            f"{np.mean(ours.values) - np.mean(theirs.values):+.3f} [{low:+.3f}, {high:+.3f}]: {word}{seeds}"
        )

    def _figure(self, arm: str, baseline: str) -> _Figure | None:
        """Return the figures of all trainings of an arm, or of a baseline that stands in their results."""
        key = (arm, baseline)
        if key not in self._known:
            results = results_of(self._run, arm, self._task, self._label)
            found = [self._training(arm, baseline, seed, result) for seed, result in results.items()]
            scored = [one for one in found if one is not None]
            self._known[key] = _Figure([one[0] for one in scored], [one[1] for one in scored]) if scored else None
        return self._known[key]

    def _training(self, arm: str, baseline: str, seed: int, result: Result) -> tuple[float, list[_Draws]] | None:
        """Return the figure of one training and its bootstrap distributions, one a draw of labels."""
        inside = baseline or own_arm(result)
        score = score_of(result, inside, self._table.metric)
        if score is None:
            return None
        predictions = self._predictions(arm, seed, result)
        own = predictions[predictions["arm"] == inside].sort_values("image_id")
        draw = self._draw_images if self._task.task in ON_MASKS else self._draw_probe
        return score.value, draw(own, result)

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

    def _draw_images(self, own: pd.DataFrame, _: Result) -> list[_Draws]:
        patient_of = self._store.manifest.set_index("source")["patient"]
        patients = patient_of.loc[own["image_id"]].to_numpy(dtype=np.str_)
        values: _Draws = own[self._table.metric].to_numpy(dtype=np.float64)
        return [resampled_means(values, draw_resamples(patients, resamples=_RESAMPLES, seed=0))]

    def _draw_probe(self, own: pd.DataFrame, result: Result) -> list[_Draws]:
        return [self._draw_labels(one, result) for _, one in own.groupby("seed")]

    def _draw_labels(self, own: pd.DataFrame, result: Result) -> _Draws:
        """Resample the patients for one draw of labels."""
        classes, metric = result.settings["classes"], self._table.metric
        truth = own[[f"truth_{name}" for name in classes]].to_numpy(dtype=np.float64)
        scores = own[[f"score_{name}" for name in classes]].to_numpy(dtype=np.float64)
        labels = truth if result.kind == "multilabel" else truth.argmax(axis=1)
        resamples = draw_resamples(own["patient"].to_numpy(dtype=np.str_), resamples=_RESAMPLES, seed=0)
        return bootstrap_metrics(labels, scores, resamples, kind=result.kind, metrics=[metric])[metric]


def _mean_over_drawn(table: _Draws) -> _Draws:
    """Average (members, ..., resamples) over the members, which every resample draws with replacement."""
    members, resamples = table.shape[0], table.shape[-1]
    drawn = np.random.default_rng(0).integers(members, size=(members, resamples))
    chosen = np.broadcast_to(drawn.reshape(members, *([1] * (table.ndim - 2)), resamples), table.shape)
    means: _Draws = np.take_along_axis(table, chosen, axis=0).mean(axis=0)
    return means
