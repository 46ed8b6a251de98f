"""Uniform cubic B-splines over an image: evaluation, exact refinement and the roughness of their control points.

Control point k of an axis stands at (k - 1) * spacing, in shares of the image's side; together they cover [0, 1]
whatever the resolution. A field of control points is `[batch, channels, rows, columns]`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["control_points", "evaluate", "refine", "roughness"]


def control_points(spacing: float) -> int:
    """How many control points an axis needs."""
    return math.ceil(1.0 / spacing - 1e-9) + 3


def evaluate(
    control: Float[Tensor, "batch channels points points"], spacing: float, size: tuple[int, int]
) -> Float[Tensor, "batch channels height width"]:
    """Evaluate the spline at the pixel centres of a grid of `size` (height, width); the two axes are separable."""
    down, across = (_weights(pixels, spacing, control) for pixels in size)
    return down @ control @ across.T


def refine(
    control: Float[Tensor, "batch channels points points"], spacing: float
) -> Float[Tensor, "batch channels finer finer"]:
    """Return the control points of the same spline at half the spacing (the two-scale relation, exact)."""
    coarse, fine = control.shape[-1], control_points(spacing / 2)
    relation = control.new_zeros(fine, coarse)
    for shift, weight in zip(range(-2, 3), (1 / 8, 4 / 8, 6 / 8, 4 / 8, 1 / 8), strict=True):
        for point in range(coarse):
            child = 2 * point - 1 + shift
            if 0 <= child < fine:
                relation[child, point] = weight
    return relation @ control @ relation.T


def roughness(control: Float[Tensor, "batch channels points points"], spacing: float) -> Float[Tensor, "batch"]:
    """Mean squared second differences of the control points in units of their spacing: the bending energy's stand-in.

    It is free of units: 0 for any affine, about 1 where neighbours part by as much as they stand apart.
    """
    down = control[:, :, 2:] - 2 * control[:, :, 1:-1] + control[:, :, :-2]
    across = control[..., 2:] - 2 * control[..., 1:-1] + control[..., :-2]
    both = control[:, :, 1:, 1:] - control[:, :, 1:, :-1] - control[:, :, :-1, 1:] + control[:, :, :-1, :-1]
    squares = [part.square().flatten(1).mean(1) for part in (down, across, both)]
    return (squares[0] + squares[1] + 2 * squares[2]) / spacing**2


def _weights(pixels: int, spacing: float, like: Tensor) -> Float[Tensor, "pixels points"]:
    """Weight of every control point at every pixel centre."""
    at = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels / spacing
    distance = (at[:, None] - (torch.arange(control_points(spacing), dtype=torch.float64) - 1)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far).to(like)
