"""The inside of a mask of one part, and the refusal of what is no such mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.errors import UnreadableImageError

__all__ = ["inside_of"]

_FEWEST_GRAYS = 32
"""Whole values all below are labels: a mask in gray reaches higher."""

_NEAR_AN_END = 0.1
_AT_THE_ENDS = 0.95
_STRANGE_FLATS = 0.001
_SHOWN = 5

_Mask = npt.NDArray[np.bool_]


def inside_of(path: Path, pixels: npt.NDArray[Any]) -> _Mask:
    """Return where a mask of one part is above half of its maximum.

    A mask has two values. More are grays of a seam, as anti-aliasing, resizing and JPEG leave them, where

    - they reach 32 or are fractions,
    - 95 % of the pixels are within a tenth of the range of either end (at 64 px a seam takes 4 %), and
    - they form no regions: no 3 x 3 block is of one value between, and hardly any (.1 % of those of the mask itself)
      of a value near an end that is not the commonest there. Seams, of whatever width and quality, have none.

    Colours count as values.

    Args:
        path: The file, for the message.
        pixels: `[height, width]` or `[height, width, 3]`.

    Raises:
        UnreadableImageError: More values than that, as label maps, photographs and maps of probabilities have.
    """
    half = pixels.max() / 2
    gray = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    values, counts = np.unique(gray, return_counts=True)
    colours = _colours(pixels > half) if pixels.ndim == 3 else 2
    if colours > 2:
        raise _refusal(path, f"mask has {colours} colours")
    if len(values) > 2 and not _is_seam(gray, values, counts):
        shown = ", ".join(f"{one:g}" for one in values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
        raise _refusal(path, f"mask has {len(values)} values: {shown}")
    inside: _Mask = gray > half
    return inside


def _refusal(path: Path, what: str) -> UnreadableImageError:
    return UnreadableImageError(
        path,
        f"{what}; a mask of one part has two",
        "Label maps of a folder are read by --option parts=heart=1,lung=2",
    )


def _colours(bright: npt.NDArray[np.bool_]) -> int:
    """Count the colours that fill a 3 x 3 block, each channel bright or dark; a lossy seam fills none."""
    codes = bright @ np.array([1, 2, 4])
    return len(np.unique(codes[1:-1, 1:-1][_flat(codes)]))


def _is_seam(gray: npt.NDArray[Any], values: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> bool:
    """Say whether values besides the commonest at either end lie where a part ends, and nowhere else."""
    low, high = float(values[0]), float(values[-1])
    if high < _FEWEST_GRAYS and bool((values == np.round(values)).all()):
        return False
    near = _NEAR_AN_END * (high - low)
    dark, light = values <= low + near, values >= high - near
    if counts[dark | light].sum() < _AT_THE_ENDS * gray.size:
        return False
    outside, inside = (values[end][counts[end].argmax()] for end in (dark, light))
    flat = gray[1:-1, 1:-1][_flat(gray)]
    between = (flat > low + near) & (flat < high - near)
    strange = (flat != outside) & (flat != inside)
    return not between.any() and bool(strange.sum() <= _STRANGE_FLATS * (flat == inside).sum())


def _flat(values: npt.NDArray[Any]) -> _Mask:
    """Mark the pixels whose eight neighbours have their value, of all that have eight."""
    row = (values[:, 1:-1] == values[:, :-2]) & (values[:, 1:-1] == values[:, 2:])
    middle = values[:, 1:-1]
    same = (middle[1:-1] == middle[:-2]) & (middle[1:-1] == middle[2:])
    flat: _Mask = row[1:-1] & row[:-2] & row[2:] & same
    return flat
