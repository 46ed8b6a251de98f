"""What of a network's output is explained: a class, or a class over a region of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from vesalius.errors import ConfigError

__all__ = ["Region", "class_target", "region_of", "region_target"]

Region = Literal["class", "box", "component", "pixel"]
"""The pixels that are predicted as the class; of these, those within a box, or connected with a pixel; or one pixel."""


def class_target(column: int) -> Callable[[Tensor], Tensor]:
    """Return what a classifier's logit of one class is explained by."""
    return lambda logits: logits[column]


def region_target(column: int, region: Bool[Tensor, "height width"]) -> Callable[[Tensor], Tensor]:
    """Return what a class's logits over a region are explained by: their sum (SEG-Grad-CAM, arXiv 2002.11434)."""

    def summed(logits: Float[Tensor, "classes height width"]) -> Float[Tensor, ""]:
        return (logits[column] * region.to(logits)).sum()

    return summed


def region_of(
    predicted: Bool[Tensor, "height width"],
    kind: Region = "class",
    *,
    box: tuple[int, ...] | None = None,
    pixel: tuple[int, ...] | None = None,
) -> Bool[Tensor, "height width"]:
    """Return the pixels that are explained; none where the network takes none of them for the class.

    Args:
        predicted: Pixels that the network takes for the class.
        kind: `class` (all of these), `box` (of these, those inside), `component` (those connected with `pixel`, or the
            largest piece where no pixel is given; neighbours share a side) or `pixel` (this one, whatever it was taken
            for).
        box: First row, first column, last row, last column, both ends included.
        pixel: Row and column.

    Raises:
        ConfigError: A box or pixel that is missing or outside.
    """
    height, width = predicted.shape
    region = predicted
    if kind == "box":
        top, left, bottom, right = _inside(box, (height, width), "box", 4)
        inside = torch.zeros_like(predicted)
        inside[top : bottom + 1, left : right + 1] = True
        region = predicted & inside
    elif kind == "pixel":
        row, column = _inside(pixel, (height, width), "pixel", 2)
        region = torch.zeros_like(predicted)
        region[row, column] = True
    elif kind == "component":
        region = _component(predicted, pixel)
    return region


def _component(predicted: Bool[Tensor, "height width"], pixel: tuple[int, ...] | None) -> Bool[Tensor, "height width"]:
    labelled: Any
    labelled, pieces = ndimage.label(predicted.numpy())
    if pixel is None:
        sizes = np.bincount(labelled.ravel(), minlength=pieces + 1)
        sizes[0] = 0
        wanted = int(sizes.argmax())
    else:
        row, column = _inside(pixel, (predicted.shape[0], predicted.shape[1]), "pixel", 2)
        wanted = int(labelled[row, column])
    return torch.from_numpy(labelled == wanted) & predicted


def _inside(given: tuple[int, ...] | None, size: tuple[int, int], what: str, many: int) -> tuple[int, ...]:
    if given is None or len(given) != many:
        which = "row, column" if many == 2 else "row, column of its first and last pixel"
        raise ConfigError(f"a region {what} needs {many} whole numbers ({which}), got {given}")
    for place, value in enumerate(given):
        if not 0 <= value < size[place % 2]:
            raise ConfigError(f"{what} {given}: outside the image of {size[0]} rows and {size[1]} columns")
    if many == 4 and (given[0] > given[2] or given[1] > given[3]):
        raise ConfigError(f"box {given}: its first corner lies below or right of its second")
    return given
