"""Bringing the masks of an image to the store's square, as one label map placed exactly like the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.binary_mask import inside_of
from vesalius.data.fit import Placement
from vesalius.data.outlines import draw_outlines
from vesalius.data.read import count_frames, read_image
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import RunLengths

__all__ = ["LABEL_MAP", "VOID", "canonical_parts", "place_mask", "read_masks"]

LABEL_MAP = "@labelmap"
"""Key in `Sample.masks` of a single file that holds all parts as values."""

VOID = "void"
"""Part of the pixels of which nothing is known; segmentation neither learns from them nor scores them."""

_MOST_PARTS = 255
_ASPECT_TOLERANCE = 0.02


def canonical_parts(names: Sequence[str]) -> tuple[str, ...]:
    """Return `background` and the part names sorted: the meaning of the values 0, 1, ... in the store.

    Raises:
        ValueError: For more than 255 parts, which uint8 cannot tell apart.
    """
    parts = ("background", *sorted(set(names)))
    if len(parts) - 1 > _MOST_PARTS:
        raise ValueError(f"{len(parts) - 1} parts do not fit a uint8 label map")
    return parts


def read_masks(
    masks: Sequence[tuple[str, Path]],
    *,
    parts: Sequence[str],
    values: Mapping[int, str],
    shape: tuple[int, int],
    frame: int,
    frames: int,
    placement: Placement,
    size: int,
    axis: str | int = "axial",
    image: Path | None = None,
    outlines: Sequence[tuple[str, Sequence[float] | RunLengths]] = (),
    on_top: Sequence[str] = (),
) -> npt.NDArray[np.uint8]:
    """Return the label map `[size, size]` of one image.

    Where parts overlap, the later in `on_top` wins, and of others the later in `parts`.

    Args:
        masks: Part name and a file of two values, see `inside_of`, or `@labelmap` and a file of `values`.
        parts: What the store's values mean, see `canonical_parts`.
        values: Value in a label-map file to part name; 0 is the background where it has no name.
        shape: (height, width) of the image; a mask may be larger or smaller but must have its proportions.
        frame: Frame of the image, taken from mask files that have as many frames.
        frames: How many frames the image's file has.
        placement: Where the image lies in the store.
        size: Side of the square.
        axis: Slicing of masks that are NIfTI volumes, that of the image.
        image: The image's file, in whose orientation a NIfTI mask lies that says nothing of its own.
        on_top: Parts drawn after all others.
        outlines: (part, corners or run lengths, see `draw_outlines`), drawn over the rest in their order.

    Raises:
        UnreadableImageError: For a mask that cannot be read, has other proportions than the image, more values than two
            or, in a label map, values that mean nothing; for run lengths of another size.
    """
    out = np.zeros((size, size), dtype=np.uint8)
    last = {name: place for place, name in enumerate((*parts, *on_top))}
    for name, path in sorted(masks, key=lambda one: last.get(one[0], 0)):
        pixels = _read(path, frame=frame, frames=frames, axis=axis, codes=name == LABEL_MAP, like=image)
        height, width = pixels.shape[:2]
        if abs(width * shape[0] / (height * shape[1]) - 1) > _ASPECT_TOLERANCE:
            raise UnreadableImageError(
                path,
                f"mask is {width} x {height}, its image {shape[1]} x {shape[0]}",
                "Masks need the image's proportions",
            )
        if name == LABEL_MAP:
            codes = pixels.max(axis=2) if pixels.ndim == 3 else pixels
            _check_values(path, codes, values)
            placed = place_mask(codes, shape=shape, placement=placement, size=size)
            for value, part in values.items():
                out[placed == value] = parts.index(part)
        elif pixels.any():
            out[place_mask(inside_of(path, pixels), shape=shape, placement=placement, size=size)] = parts.index(name)
    if outlines:
        drawn = place_mask(draw_outlines(outlines, parts, shape), shape=shape, placement=placement, size=size)
        out[drawn > 0] = drawn[drawn > 0]
    return out


def place_mask(mask: npt.NDArray[Any], *, shape: tuple[int, int], placement: Placement, size: int) -> npt.NDArray[Any]:
    """Take the mask's value at the centre of each store pixel (nearest), and 0 outside the image.

    Args:
        mask: `[height, width]`, of the image's proportions but not necessarily of its size.
        shape: (height, width) of the image that `placement` speaks of.
        placement: Where the image lies in the store.
        size: Side of the square.
    """
    centres = np.arange(size) + 0.5
    columns = np.floor((placement.offset_x + placement.scale_x * centres) * (mask.shape[1] / shape[1])).astype(np.int64)
    rows = np.floor((placement.offset_y + placement.scale_y * centres) * (mask.shape[0] / shape[0])).astype(np.int64)
    in_x = (columns >= 0) & (columns < mask.shape[1])
    in_y = (rows >= 0) & (rows < mask.shape[0])
    out = np.zeros((size, size), dtype=mask.dtype)
    out[np.ix_(in_y, in_x)] = mask[np.ix_(rows[in_y], columns[in_x])]
    return out


def _check_values(path: Path, pixels: npt.NDArray[Any], values: Mapping[int, str]) -> None:
    strange = sorted(set(np.unique(pixels).tolist()) - {0, *values})
    if strange:
        known = ", ".join(f"{value} {name}" for value, name in sorted(values.items()))
        raise UnreadableImageError(
            path, f"mask has the values {', '.join(f'{one:g}' for one in strange[:5])}", f"Known: 0 background, {known}"
        )


def _read(path: Path, *, frame: int, frames: int, axis: str | int, codes: bool, like: Path | None) -> npt.NDArray[Any]:
    like = like if like is not None and _is_nifti(like) and _is_nifti(path) else None
    there = count_frames(path, axis=axis, like=like) if frames > 1 else 1
    if there not in (1, frames):
        raise UnreadableImageError(
            path, f"mask has {there} frames, its image {frames}", "Masks need one frame, or those of the image"
        )
    chosen = frame if there > 1 else 0
    return read_image(path, frame=chosen, window="range", axis=axis, allow_constant=True, codes=codes, like=like).pixels


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))
