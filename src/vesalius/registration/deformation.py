"""Where every pixel of an image lies in a template, and what follows from it: moved masks, folds, landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["Deformation", "area_factor", "warp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deformation:
    """A registration's result.

    Attributes:
        coordinates: `[batch, 2, height, width]`, (x, y) of every pixel centre in the template, as shares of the
            template's width and height from its outer top-left corner; beyond [0, 1] where the template ends.
        similarity: `[batch]`, the likeness that was reached, higher is better.
    """

    coordinates: Float[Tensor, "batch 2 height width"]
    similarity: Float[Tensor, "batch"]


def warp(
    maps: Float[Tensor, "maps channels rows columns"],
    coordinates: Float[Tensor, "batch 2 height width"],
    mode: Literal["bilinear", "nearest"] = "bilinear",
) -> Float[Tensor, "batch channels height width"]:
    """Carry the template's images or masks to the images: each pixel takes what lies at its place in the template.

    Args:
        maps: Of the template, of any resolution; one for all images or one an image.
        coordinates: See `Deformation`.
        mode: `nearest` for label maps.
    """
    grid = (2 * coordinates - 1).permute(0, 2, 3, 1)
    return functional.grid_sample(
        maps.expand(len(coordinates), -1, -1, -1), grid, mode=mode, padding_mode="border", align_corners=False
    )


def area_factor(coordinates: Float[Tensor, "batch 2 height width"]) -> Float[Tensor, "batch height width"]:
    """Return the Jacobian's determinant: template area per image area, negative where the deformation folds."""
    height, width = coordinates.shape[2:]
    across = torch.gradient(coordinates, dim=3)[0] * width
    down = torch.gradient(coordinates, dim=2)[0] * height
    return across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
