"""Figures of every patient from what was counted of its images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["COLUMNS", "VOLUME_COLUMNS", "figures_of"]

COLUMNS = 5
"""What is counted: pixels common, predicted, true; the Hausdorff distances' sum over images, of how many."""

VOLUME_COLUMNS = 2
"""Further ones where images are slices of whole volumes: the distances' sum over volumes, mm, of how many."""

_Array = npt.NDArray[Any]


def figures_of(counts: _Array, unit: str) -> dict[str, _Array]:
    """Turn what was counted into `[draws, patients]` means over the parts; NaN for patients without them.

    Dice and IoU are of all pixels of a patient. The Hausdorff distance (95th percentile) is the mean over the images
    that show the part, and `hd95_3d_mm` that over the volumes that do, where any does.

    Args:
        counts: `[draws, patients, parts, columns]`, see `COLUMNS` and `VOLUME_COLUMNS`.
        unit: `mm` or `px`, of the distances of images.
    """
    common, predicted, true, distance, images = (counts[..., place] for place in range(COLUMNS))
    each = {
        "dice": (2 * common / np.maximum(predicted + true, 1), true),
        "iou": (common / np.maximum(predicted + true - common, 1), true),
        f"hd95_{unit}": (distance / np.maximum(images, 1), true),
    }
    in_volumes = counts[..., COLUMNS:]
    if in_volumes.any():
        each["hd95_3d_mm"] = (in_volumes[..., 0] / np.maximum(in_volumes[..., 1], 1), in_volumes[..., 1])
    return {key: _mean(value, there > 0) for key, (value, there) in each.items()}


def _mean(value: _Array, there: npt.NDArray[np.bool_]) -> _Array:
    """Return the mean over the parts that are there."""
    many = there.sum(axis=-1)
    return np.where(many > 0, np.where(there, value, 0.0).sum(axis=-1) / np.maximum(many, 1), np.nan)
