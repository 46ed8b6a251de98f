"""Sizes and values that no image may have: checked from headers, before anything is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.errors import UnreadableImageError

__all__ = [
    "JSRT_BYTES",
    "MAX_PIXELS",
    "MAX_VOXELS",
    "MIN_SIDE",
    "check_finite",
    "check_frame",
    "check_size",
    "check_volume",
]

MAX_PIXELS = 2**27
"""Largest width x height that is decoded (134 million pixels, 11,585 squared); a bigger header is taken for a bomb."""

MAX_VOXELS = 2**29
"""Largest volume that is held in memory to cut slices from (a CT of 512 x 512 x 2048)."""

JSRT_BYTES = 2048 * 2048 * 2
"""Size of every JSRT .IMG file, the only thing that tells them: 2048 x 2048 pixels of two bytes, no header."""

MIN_SIDE = 8
"""Smallest side in pixels; below it there is nothing to learn from, and a patch would be mostly padding."""


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a header whose image is empty, smaller than `MIN_SIDE` or larger than `MAX_PIXELS`.

    Raises:
        UnreadableImageError: Names the size and the limit.
    """
    if width < 1 or height < 1:
        raise UnreadableImageError(path, f"empty image: the header says {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            path,
            f"too large: the header says {width} x {height} pixels, the limit is {MAX_PIXELS}",
            "Shrink or tile it first; such a header can also be an attack (decompression bomb)",
        )
    if min(width, height) < MIN_SIDE:
        raise UnreadableImageError(
            path,
            f"too small: {width} x {height} pixels, the shorter side needs {MIN_SIDE}",
            "Leave out thumbnails, icons and localiser strips",
        )


def check_volume(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse a volume of more than `MAX_VOXELS` voxels, or of none.

    Raises:
        UnreadableImageError: Names the shape and the limit.
    """
    voxels = 1
    for side in shape:
        voxels *= int(side)
    if voxels < 1:
        raise UnreadableImageError(path, f"empty image: the header says shape {tuple(map(int, shape))}")
    if voxels > MAX_VOXELS:
        raise UnreadableImageError(
            path,
            f"too large: the header says shape {tuple(map(int, shape))}, the limit is {MAX_VOXELS} voxels",
            "Split the volume first; such a header can also be an attack (decompression bomb)",
        )


def check_frame(path: Path, frame: int, frames: int) -> None:
    """Refuse a frame that the file does not have.

    Raises:
        UnreadableImageError: Names the frame asked for and those there are.
    """
    if frames < 1:
        raise UnreadableImageError(path, "no frames: the file holds no image")
    if not 0 <= frame < frames:
        raise UnreadableImageError(path, f"no frame {frame}: the file holds {frames}", f"Choose 0 to {frames - 1}")


def check_finite(path: Path, pixels: npt.NDArray[Any]) -> None:
    """Refuse pixels with NaN or infinite values.

    Raises:
        UnreadableImageError: Counts them.
    """
    if pixels.dtype.kind != "f":
        return
    bad = int(pixels.size - np.count_nonzero(np.isfinite(pixels)))
    if bad == pixels.size:
        raise UnreadableImageError(path, "not finite: every pixel is NaN or infinite")
    if bad:
        raise UnreadableImageError(
            path,
            f"not finite: {bad} of {pixels.size} values are NaN or infinite",
            "Replace them (for example by the background value) before preparing",
        )
