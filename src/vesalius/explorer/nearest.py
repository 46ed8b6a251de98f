"""The images that a run takes for most alike."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

__all__ = ["nearest_images"]

_AT_A_TIME = 8192
_ONE_AT_A_TIME = threading.Lock()
"""A page may ask faster than it is answered; requests wait for each other rather than for memory."""


def nearest_images(features: npt.NDArray[np.float16], row: int, count: int) -> list[tuple[int, float]]:
    """Return (row, cosine similarity) of the images nearest to one, itself left out, from the nearest on.

    Args:
        features: `[images, dim]`, of length 1; may be mapped from disk.
        row: The image.
        count: How many; fewer where there are no more.
    """
    own = features[row].astype(np.float32)
    similarity = np.empty(len(features), dtype=np.float32)
    with _ONE_AT_A_TIME:
        for start in range(0, len(features), _AT_A_TIME):
            similarity[start : start + _AT_A_TIME] = features[start : start + _AT_A_TIME].astype(np.float32) @ own
    similarity[row] = -np.inf
    count = min(count, len(similarity) - 1)
    if count < 1:
        return []
    nearest = np.argpartition(-similarity, count - 1)[:count]
    ordered = nearest[np.lexsort((nearest, -similarity[nearest]))]
    return [(int(one), round(float(similarity[one]), 4)) for one in ordered]
