"""DeLong's test of two ROC-AUCs on the same images, with Obuchowski's variance where patients have several images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Num, Shaped
from scipy.stats import norm, rankdata

__all__ = ["AucDifference", "compare_aucs"]


@dataclass(frozen=True, slots=True)
class AucDifference:
    """One ROC-AUC minus another.

    Attributes:
        value: The difference.
        error: Its standard error.
        p: Two-sided, of no difference; 1 where the scores order all images alike, NaN where the error cannot be known.
    """

    value: float
    error: float
    p: float


def compare_aucs(
    positive: Bool[np.ndarray, " images"],
    ours: Num[np.ndarray, " images"],
    theirs: Num[np.ndarray, " images"],
    patients: Shaped[np.ndarray, " images"],
) -> AucDifference:
    """Test whether two scores of the same images differ in their ROC-AUC.

    With one image a patient this is DeLong et al. 1988 (by midranks, Sun & Xu 2014); where patients have several, their
    images are summed before they are squared (Obuchowski 1997, Biometrics 53:567-578).

    Args:
        positive: Which images are; some and not all.
        ours: Scores, larger for positive.
        theirs: The other scores.
        patients: Whose each image is.
    """
    _, code = np.unique(patients, return_inverse=True)
    pairs = [_components(positive, scores) for scores in (ours, theirs)]
    value = float(pairs[0][0] - pairs[1][0])
    # The difference is linear in the components, so that its variance is that of their differences.
    of_positive, of_negative = pairs[0][1] - pairs[1][1], pairs[0][2] - pairs[1][2]
    if not of_positive.any() and not of_negative.any() and value == 0.0:
        return AucDifference(0.0, 0.0, 1.0)
    many, few = int(positive.sum()), int((~positive).sum())
    count = int(code.max()) + 1
    yes = np.bincount(code[positive], of_positive - value, minlength=count)
    no = np.bincount(code[~positive], of_negative - value, minlength=count)
    with_yes, with_no = len(np.unique(code[positive])), len(np.unique(code[~positive]))
    if min(with_yes, with_no) < 2:
        return AucDifference(value, float("nan"), float("nan"))
    variance = float(with_yes / (with_yes - 1) * (yes @ yes) / many**2)
    variance += float(with_no / (with_no - 1) * (no @ no) / few**2)
    variance += float(2 * count / (count - 1) * (yes @ no) / (many * few))
    error = math.sqrt(max(variance, 0.0))
    return AucDifference(value, error, float(2 * norm.sf(abs(value) / error)) if error > 0 else float("nan"))


def _components(
    positive: Bool[np.ndarray, " images"], scores: Num[np.ndarray, " images"]
) -> tuple[float, Float[np.ndarray, " many"], Float[np.ndarray, " few"]]:
    """Return the AUC, of every positive the share of negatives below it, of every negative that of positives above."""
    yes, no = scores[positive], scores[~positive]
    ranks = rankdata(scores)
    below = (ranks[positive] - rankdata(yes)) / len(no)
    above = 1 - (ranks[~positive] - rankdata(no)) / len(yes)
    return float(below.mean()), below, above
