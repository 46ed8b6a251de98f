"""Do probabilities mean what they say? Expected calibration error, Brier score and the points of a reliability plot."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from vesalius.evaluation.metrics import binary_problems, predicted_classes

__all__ = ["BINS", "Calibration", "calibration_of"]

BINS = 15
"""Of equal width, as in Guo et al. 2017."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How probabilities stand to what came true; bins without an image are left out.

    Attributes:
        ece: Expected calibration error: mean distance of a bin's probability and frequency, weighed by its images.
        brier: Mean squared distance of probabilities and labels; of several classes the sum over them.
        predicted: Mean probability of every bin.
        observed: How often it came true there.
        images: How many the bin holds.
    """

    ece: float
    brier: float
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    images: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def calibration_of(
    labels: Num[np.ndarray, "images ..."], scores: Num[np.ndarray, "images columns"], *, kind: str
) -> Calibration:
    """Compare probabilities with labels.

    The probability is that of class 1 for `binary`, of every known label for `multilabel` (all together), and of the
    likeliest class for `multiclass` and `ordinal`, which comes true where it is the label.

    Args:
        labels: Class index, or 0/1/NaN a label for `multilabel`.
        scores: Class probabilities (two columns for `binary`), or one probability a label.
        kind: Kind of the label.
    """
    if kind in ("binary", "multilabel"):
        problems = binary_problems(labels, scores, kind)
        probability = np.concatenate([score for _, _, _, score in problems]).astype(np.float64)
        true = np.concatenate([positive for _, _, positive, _ in problems]).astype(np.float64)
        brier = float(np.mean((probability - true) ** 2))
    else:
        probability = scores.max(axis=1).astype(np.float64)
        true = (predicted_classes(scores) == labels).astype(np.float64)
        brier = float(np.mean(((scores - np.eye(scores.shape[1])[labels.astype(int)]) ** 2).sum(axis=1)))
    return _binned(probability, true, brier)


def _binned(probability: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"], brier: float) -> Calibration:
    bins = np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)
    images = np.bincount(bins, minlength=BINS)
    filled = images > 0
    predicted = np.bincount(bins, probability, minlength=BINS)[filled] / images[filled]
    observed = np.bincount(bins, true, minlength=BINS)[filled] / images[filled]
    return Calibration(
        ece=float(np.abs(predicted - observed) @ images[filled] / len(bins)),
        brier=brier,
        predicted=tuple(predicted.tolist()),
        observed=tuple(observed.tolist()),
        images=tuple(images[filled].tolist()),
    )
