"""A look at a batch of images that remembers where it came from."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Integer
from torch import Tensor

__all__ = ["View"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Augmented pixels and the affine that maps view coordinates to image coordinates.

    Coordinates are continuous pixels, (x, y), origin at the outer top-left corner, so the centre of pixel (column i,
    row j) is (i + 0.5, j + 0.5). A point (x, y) of view b lies at `affine[b] @ (x, y, 1)` of its image.

    Attributes:
        pixels: `[batch, channels, height, width]`, normalised for the backbone.
        affine: `[batch, 2, 3]`, view to image coordinates.
        image_size: (height, width) of the images that the affine speaks of.
        name: The view's role in its plan (`global_1`, `local`, ...).
        regions: `[batch, rows, columns]`, labels of the images themselves (superpixels, at any resolution), where a
            method learns from regions.
    """

    pixels: Float[Tensor, "batch channels height width"]
    affine: Float[Tensor, "batch 2 3"]
    image_size: tuple[int, int]
    name: str = "view"
    regions: Integer[Tensor, "batch rows columns"] | None = None
