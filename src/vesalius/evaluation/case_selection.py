"""Which images are shown: the best, the worst, and those in the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vesalius.errors import EvaluationError

__all__ = ["Case", "choose_cases"]


@dataclass(frozen=True, slots=True)
class Case:
    """An image that is shown.

    Attributes:
        kind: `best`, `median` or `worst`.
        row: Of the store.
        score: By which it was chosen.
    """

    kind: str
    row: int
    score: float


def choose_cases(
    rows: Int[np.ndarray, " images"],
    scores: Float[np.ndarray, " images"],
    *,
    best: int = 5,
    median: int = 3,
    worst: int = 5,
) -> tuple[Case, ...]:
    """Choose images by their scores: from the best down, around the median, and up from the worst (Juhasz: 5, 3, 5).

    No image is shown twice: where there are fewer images than cases, the worst ones are shown first, then the best.
    Images without a score (NaN) are left out; of equal scores the earlier row comes first.

    Raises:
        EvaluationError: No image has a score.
    """
    there = ~np.isnan(scores)
    rows, scores = rows[there], scores[there]
    if not len(rows):
        raise EvaluationError("no image has a score to be chosen by; the parts or labels asked for are in none")
    order = np.lexsort((rows, -scores))
    lowest = np.lexsort((rows, scores))[:worst]
    left = [one for one in order if one not in set(lowest.tolist())]
    highest, left = left[:best], left[best:]
    middle = len(order) / 2 - 0.5
    place = {int(one): abs(number - middle) for number, one in enumerate(order)}
    central = sorted(left, key=lambda one: (place[int(one)], rows[one]))[:median]
    central = sorted(central, key=lambda one: (-scores[one], rows[one]))
    chosen = [("best", highest), ("median", central), ("worst", lowest.tolist())]
    return tuple(Case(kind, int(rows[one]), float(scores[one])) for kind, ones in chosen for one in ones)
