"""Figures that every image has of its own: their means, with intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vesalius.evaluation.intervals import PatientResamples, percentile_interval
from vesalius.evaluation.verdict import compare
from vesalius.records.result import Score

__all__ = ["ImageScores", "resampled_means", "score_images"]

Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores, and their bootstrap distributions by arm and metric."""

    scores: tuple[Score, ...]
    draws: Mapping[tuple[str, str], Figures]

    def find(self, arm: str, metric: str) -> Score | None:
        """Return an arm's score, None where it was not scored."""
        return next((one for one in self.scores if (one.arm, one.metric) == (arm, metric)), None)

    def stands(self, metric: str, others: Sequence[str]) -> str:
        """Say how the pretrained arm stands to others, by the paired bootstrap of the difference."""
        ours, told = self.find("pretrained", metric), []
        for other in others:
            theirs = self.find(other, metric)
            if ours is not None and theirs is not None:
                it = compare(ours, theirs, [self.draws["pretrained", metric]], [self.draws[other, metric]])
                apart = ", intervals apart" if it.separate else ""
                told.append(
                    f"{it.word} {other.replace('_', ' ')} {theirs.value:.3f} ({it.difference:+.3f}, "
                    f"{it.low:+.3f} to {it.high:+.3f}{apart})"
                )
        return "; ".join(told)


def score_images(figures: Mapping[str, Mapping[str, Figures]], resamples: PatientResamples) -> ImageScores:
    """Average over images.

    Args:
        figures: By arm and metric, one figure an image; NaN where it is not defined.
        resamples: Of the patients.
    """
    scores, draws = [], {}
    for arm, metrics in figures.items():
        for metric, values in metrics.items():
            draws[arm, metric] = resampled_means(values, resamples)
            low, high = percentile_interval(draws[arm, metric])
            scores.append(Score(arm=arm, metric=metric, value=float(np.nanmean(values)), low=low, high=high))
    return ImageScores(tuple(scores), draws)


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
