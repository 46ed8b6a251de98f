"""The images that a run takes for most alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["nearest_images"]


def nearest_images(features: npt.NDArray[np.float16], row: int, count: int) -> list[tuple[int, float]]:
    """Return (row, cosine similarity) of the images nearest to one, itself left out, from the nearest on.

    Args:
        features: `[images, dim]`, of length 1.
        row: The image.
        count: How many; fewer where there are no more.
    """
    similarity = features.astype(np.float32) @ features[row].astype(np.float32)
    similarity[row] = -np.inf
    count = min(count, len(similarity) - 1)
    if count < 1:
        return []
    nearest = np.argpartition(-similarity, count - 1)[:count]
    ordered = nearest[np.lexsort((nearest, -similarity[nearest]))]
    return [(int(one), round(float(similarity[one]), 4)) for one in ordered]
