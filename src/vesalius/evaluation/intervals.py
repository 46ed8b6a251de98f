"""95 % percentile intervals by resampling patients, never images: two images of one patient are not two witnesses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from vesalius.errors import EvaluationError
from vesalius.evaluation.resampled_metrics import resampled_metrics

__all__ = ["PatientResamples", "bootstrap_metrics", "draw_resamples", "paired_interval", "percentile_interval"]

# About 4 million weights at a time keep the working set of one block under 100 MB whatever the size of the test side.
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True)
class PatientResamples:
    """How often each patient was drawn in each resample; the same object makes comparisons of two arms paired.

    Attributes:
        counts: Draws of each patient in each resample; every row sums to the number of patients.
        code: The patient of each image, as a column of `counts`.
    """

    counts: Int[np.ndarray, "resamples patients"]
    code: Int[np.ndarray, " images"]

    def weights(self) -> Iterator[Int[np.ndarray, "block images"]]:
        """Yield the weight of each image, a block of resamples at a time."""
        step = max(1, _BLOCK // max(1, len(self.code)))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step][:, self.code]


def draw_resamples(
    patients: Shaped[np.ndarray, " images"], *, resamples: int = 1000, seed: int = 0
) -> PatientResamples:
    """Draw patients with replacement, as many as there are, `resamples` times; the same seed gives the same draws.

    Raises:
        EvaluationError: `resamples` is not positive or there is no image.
    """
    if resamples < 1 or not len(patients):
        raise EvaluationError(
            f"a bootstrap needs at least one resample and one image; got {resamples} resamples of {len(patients)} "
            "images. Raise `bootstrap`, or choose a test side that holds images"
        )
    names, code = np.unique(patients, return_inverse=True)
    generator = np.random.default_rng(seed)
    counts = np.empty((resamples, len(names)), dtype=np.int16)
    for row in counts:
        row[:] = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
    return PatientResamples(counts, code.reshape(-1))


def bootstrap_metrics(
    labels: Num[np.ndarray, "images ..."],
    scores: Num[np.ndarray, "images columns"],
    resamples: PatientResamples,
    *,
    kind: str,
    metrics: Sequence[str],
    folds: Int[np.ndarray, " images"] | None = None,
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Return the bootstrap distribution of each metric; NaN in resamples that leave it undefined.

    `folds` tells which classifier each image was scored by, see `vesalius.evaluation.metrics.rank_in_folds`.
    """
    how: dict[str, Any] = {"kind": kind, "metrics": metrics, "folds": folds}
    blocks = [resampled_metrics(labels, scores, weights, **how) for weights in resamples.weights()]
    return {metric: np.concatenate([block[metric] for block in blocks]) for metric in metrics}


def percentile_interval(values: Float[np.ndarray, " draws"], *, level: float = 0.95) -> tuple[float, float]:
    """Return the central `level` of the draws that are defined; (NaN, NaN) where none is."""
    kept = values[~np.isnan(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_interval(
    ours: Sequence[Float[np.ndarray, " resamples"]],
    theirs: Sequence[Float[np.ndarray, " resamples"]],
    *,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of ours - theirs, resample by resample on the same patients.

    Args:
        ours: Bootstrap distributions of one arm, one a seed, all drawn with the same `PatientResamples`.
        theirs: The same for the other arm; the shorter list is cycled, so seed i meets seed i.
        level: Coverage.
    """
    rounds = max(len(ours), len(theirs))
    differences = [ours[i % len(ours)] - theirs[i % len(theirs)] for i in range(rounds)]
    return percentile_interval(np.concatenate(differences), level=level)
