"""Where every pixel of an image lies in a template, and what follows from it: moved masks, folds, landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["Deformation", "area_factor", "identity", "invert", "warp"]


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


def identity(height: int, width: int, *, device: torch.device | str = "cpu") -> Float[Tensor, "1 2 height width"]:
    """Return the coordinates of an image in itself: every pixel's own centre."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)])[None]


def invert(
    coordinates: Float[Tensor, "batch 2 height width"], size: tuple[int, int], *, rounds: int = 30
) -> Float[Tensor, "batch 2 rows columns"]:
    """Return where every pixel of the template lies in the image, by fixed-point iteration (Chen 2008).

    Args:
        coordinates: From image to template, see `Deformation`; folds have no inverse and get a place nearby.
        size: (rows, columns) of the template.
        rounds: Of the iteration; each shrinks the error by about how much the displacement changes from place to place.
    """
    moved = coordinates - identity(*coordinates.shape[2:], device=coordinates.device)
    # What an affine moves far is taken out first: the rest changes slowly and the iteration contracts.
    goal = identity(*size, device=coordinates.device).expand(len(coordinates), -1, -1, -1)
    place = goal - moved.mean((2, 3), keepdim=True)
    for _ in range(rounds):
        place = place + 0.7 * (goal - place - warp(moved, place))
    return place


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
