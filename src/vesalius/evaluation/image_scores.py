"""Figures that every image has of its own: their means, with intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.evaluation.intervals import PatientResamples, percentile_interval
from vesalius.evaluation.verdict import Comparison, compare
from vesalius.records.result import Score

__all__ = ["ImageScores", "resampled_means", "resampled_ratios", "score_draws", "score_images"]

Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores, and their bootstrap distributions by arm and metric, one a draw of labels."""

    scores: tuple[Score, ...]
    draws: Mapping[tuple[str, str], Sequence[Figures]]

    def find(self, arm: str, metric: str) -> Score | None:
        """Return an arm's score, None where it was not scored."""
        return next((one for one in self.scores if (one.arm, one.metric) == (arm, metric)), None)

    def comparisons(self, metric: str) -> list[tuple[Score, Comparison]]:
        """Compare the pretrained arm with every other, by the paired bootstrap of the difference."""
        ours = self.find("pretrained", metric)
        others = [one for one in self.scores if one.metric == metric and one.arm != "pretrained"]
        return [
            (one, compare(ours, one, *(self.draws[arm, metric] for arm in ("pretrained", one.arm))))
            for one in others
            if ours is not None
        ]

    def compared(self, metric: str, *, fraction: float = 1.0) -> list[dict[str, Any]]:
        """Return the comparisons as a result's settings hold them, which the report reads."""
        return [{"fraction": fraction} | asdict(it) for _, it in self.comparisons(metric)]

    def stands(self, metric: str, others: Sequence[str]) -> str:
        """Say how the pretrained arm stands to others, in their order."""
        by_arm = {theirs.arm: (theirs, it) for theirs, it in self.comparisons(metric)}
        told = []
        for theirs, it in (by_arm[other] for other in others if other in by_arm):
            apart = ", intervals apart" if it.separate else ""
            told.append(
                f"{it.word} {theirs.arm.replace('_', ' ')} {theirs.value:.3f} ({it.difference:+.3f}, "
                f"{it.low:+.3f} to {it.high:+.3f}{apart})"
            )
        return "; ".join(told)


def score_images(figures: Mapping[str, Mapping[str, Figures]], resamples: PatientResamples) -> ImageScores:
    """Average over images, and over draws of labels, whose bootstrap distributions an interval pools.

    Args:
        figures: By arm and metric `[images]` or `[draws, images]`; NaN where a figure is not defined.
        resamples: Of the patients.
    """
    scores, draws = [], {}
    for arm, metrics in figures.items():
        for metric, values in metrics.items():
            each = np.atleast_2d(values)
            draws[arm, metric] = [resampled_means(one, resamples) for one in each]
            scores.append(score_draws(arm, metric, np.nanmean(each, axis=1).tolist(), draws[arm, metric]))
    return ImageScores(tuple(scores), draws)


def score_draws(arm: str, metric: str, values: Sequence[float], draws: Sequence[Figures]) -> Score:
    """Return the mean over draws of labels, with the interval of their bootstrap distributions together."""
    low, high = percentile_interval(np.concatenate(draws))
    return Score(
        arm=arm,
        metric=metric,
        value=float(np.mean(values)),
        low=low,
        high=high,
        seeds=len(values),
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        median=float(np.median(values)),
    )


def resampled_means(values: npt.NDArray[np.float64], resamples: PatientResamples) -> npt.NDArray[np.float64]:
    """Return the mean of the images' figures in every resample, images without a figure (NaN) left out.

    NaN in a resample that draws none with a figure.
    """
    there = ~np.isnan(values)
    filled, counts = np.where(there, values, 0.0), there.astype(np.float64)
    means = []
    for weights in resamples.weights():
        held = weights @ counts
        means.append(np.where(held > 0, (weights @ filled) / np.maximum(held, 1), np.nan))
    return np.concatenate(means)


def resampled_ratios(above: Figures, below: Figures, resamples: PatientResamples | None) -> Figures:
    """Return ratios of sums, the mean over columns, in every resample; of everything (one figure) without any.

    A column of which nothing is there (a sum of 0 below) counts in no resample that draws it so.

    Args:
        above: `[patients, columns]`, summed above the line.
        below: Likewise below it.
        resamples: Of the patients.
    """
    weights = [np.ones((1, len(above)))] if resamples is None else resamples.weights()
    found = []
    for drawn in weights:
        held = drawn @ below
        ratios = np.where(held > 0, (drawn @ above) / np.maximum(held, 1e-12), 0.0)
        found.append(
            np.where((held > 0).any(axis=1), ratios.sum(axis=1) / np.maximum((held > 0).sum(axis=1), 1), np.nan)
        )
    return np.concatenate(found)
