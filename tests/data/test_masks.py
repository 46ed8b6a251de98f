"""Masks of stacks: the slice of the image's own place, one mask for all, or a refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from vesalius.data.fit import placement
from vesalius.data.masks import LABEL_MAP, read_masks
from vesalius.errors import UnreadableImageError


def read(path: Path, *, frame: int, frames: int) -> np.ndarray:
    return read_masks(
        {LABEL_MAP: path},
        parts=("background", "heart"),
        values={1: "heart"},
        shape=(8, 8),
        frame=frame,
        frames=frames,
        placement=placement(8, 8, 8),
        size=8,
    )


def stack(path: Path, frames: int) -> Path:
    """Frame i has its one row of heart at i."""
    volume = np.zeros((frames, 8, 8), dtype=np.uint8)
    volume[np.arange(frames), np.arange(frames)] = 1
    tifffile.imwrite(path, volume, photometric="minisblack")
    return path


def test_each_slice_has_its_own_mask(tmp_path: Path) -> None:
    path = stack(tmp_path / "mask.tif", 4)
    for frame in range(4):
        assert np.flatnonzero(read(path, frame=frame, frames=4).any(1)).tolist() == [frame]


def test_one_mask_serves_all_slices(tmp_path: Path) -> None:
    path = stack(tmp_path / "mask.tif", 1)
    assert np.flatnonzero(read(path, frame=2, frames=4).any(1)).tolist() == [0]


def test_a_mask_of_another_count_of_slices_is_refused(tmp_path: Path) -> None:
    path = stack(tmp_path / "mask.tif", 3)
    with pytest.raises(UnreadableImageError, match="mask has 3 frames, its image 4"):
        read(path, frame=2, frames=4)
