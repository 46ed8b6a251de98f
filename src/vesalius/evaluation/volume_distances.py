"""Hausdorff distances in volumes, whose slices are decided one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from vesalius.data.sharded_array import ShardedArray
from vesalius.data.volumes import Volume
from vesalius.evaluation.surface_distance import hausdorff_95

__all__ = ["VolumeDistances"]


class VolumeDistances:
    """Holds what was decided of slices until the last one of their volume is there.

    Args:
        volumes: Which slices they are.
        masks: The store's.
        values: In the masks, of every part.
    """

    def __init__(self, volumes: Sequence[Volume], masks: ShardedArray, values: Sequence[int]) -> None:
        self._masks, self._values = masks, values
        self._volume_of = {row: volume for volume in volumes for row in volume.rows.tolist()}
        self._held: dict[int, UInt8[np.ndarray, "rows columns"]] = {}

    def add(self, row: int, guess: UInt8[np.ndarray, "rows columns"]) -> Float[np.ndarray, "parts 2"] | None:
        """Take a slice; return the distance of every part of its volume, and whether it is there, once that is whole.

        Args:
            row: Of the slice.
            guess: Number of the part that every pixel was decided to be, in their order from 1 on.
        """
        volume = self._volume_of.get(row)
        if volume is None:
            return None
        self._held[row] = guess
        rows = volume.rows.tolist()
        if not all(one in self._held for one in rows):
            return None
        guesses = np.stack([self._held.pop(one) for one in rows])
        truth = self._masks[volume.rows]
        found = np.zeros((len(self._values), 2))
        for part, value in enumerate(self._values):
            real = truth == value
            if real.any():
                found[part] = hausdorff_95(guesses == part + 1, real, pixel=volume.spacing_mm), 1
        return found
