"""How far the edge of what was found lies from the true one: the 95th percentile of the Hausdorff distance."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

__all__ = ["hausdorff_95"]


def hausdorff_95(
    found: Bool[np.ndarray, "*sides"],
    true: Bool[np.ndarray, "*sides"],
    *,
    pixel: tuple[float, ...] = (1.0, 1.0),
) -> float:
    """Return the larger of both directions' 95th percentile, as MONAI's `compute_hausdorff_distance` does.

    Where nothing was found it is the diagonal of the image, or volume, so that leaving a part out never pays.

    Args:
        found: What was decided.
        true: What is there; not empty.
        pixel: (row, column) size of a pixel, or (slice, row, column) size of a voxel.
    """
    if not found.any():
        return math.hypot(*(side * size for side, size in zip(found.shape, pixel, strict=True)))
    # Distances between edges do not leave the box around both.
    box = ndimage.find_objects((found | true).astype(np.uint8))[0]
    edges = [one[box] ^ ndimage.binary_erosion(one[box]) for one in (found, true)]
    ways = []
    for here, there in (edges, edges[::-1]):
        away = ndimage.distance_transform_edt(~there, sampling=pixel)
        ways.append(float(np.percentile(away[here], 95)))
    return max(ways)
