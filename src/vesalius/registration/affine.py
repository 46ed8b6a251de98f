"""The affine part of a registration: several starts, the best of them climbed by gradient."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.registration.similarity import GlobalCorrelation

__all__ = ["find_affine"]

SCALES = (0.8, 1.0, 1.25)
SHIFTS = (-0.25, 0.0, 0.25)
"""Of the starts: template size over image size, and shifts as shares of half the image's side."""


def find_affine(
    images: Float[Tensor, "batch 1 height width"],
    template: Float[Tensor, "1 1 rows columns"],
    *,
    pixels: int = 64,
    steps: int = 40,
    climbed: int = 2,
    learning_rate: float = 0.02,
) -> Float[Tensor, "batch 2 3"]:
    """Find the affine that carries image to template coordinates, both in [-1, 1], by global correlation.

    Args:
        images: See `Registration.register`.
        template: See there.
        pixels: Side at which it is searched.
        steps: Of Adam, from each of the best starts.
        climbed: How many starts of the 27 are climbed.
        learning_rate: Of Adam.
    """
    small, coarse = (functional.interpolate(x, size=(side, side), mode="area") for x, side in _sizes(images, pixels))
    moving = functional.interpolate(template, size=(pixels, pixels), mode="area")
    start = _best_starts(coarse, functional.interpolate(template, size=coarse.shape[2:], mode="area"), climbed)
    batch = len(images)
    theta = start.flatten(0, 1).clone().requires_grad_()
    similarity = GlobalCorrelation(small.repeat_interleave(climbed, 0))
    optimizer = torch.optim.Adam([theta], learning_rate)
    for _ in range(steps):
        value = similarity(_look(moving, theta, pixels))
        optimizer.zero_grad(set_to_none=True)
        (-value.sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        reached = similarity(_look(moving, theta, pixels)).view(batch, climbed)
        best = reached.argmax(1)
        return theta.detach().view(batch, climbed, 2, 3)[torch.arange(batch), best]


def _sizes(images: Tensor, pixels: int) -> tuple[tuple[Tensor, int], tuple[Tensor, int]]:
    return (images, pixels), (images, pixels // 2)


def _look(template: Tensor, theta: Tensor, pixels: int) -> Tensor:
    grid = functional.affine_grid(theta, [len(theta), 1, pixels, pixels], align_corners=False)
    moving = template.expand(len(theta), -1, -1, -1)
    return functional.grid_sample(moving, grid, padding_mode="border", align_corners=False)


def _best_starts(images: Tensor, template: Tensor, keep: int) -> Float[Tensor, "batch keep 2 3"]:
    """Correlate every start with every image; keep the best of each."""
    starts = torch.tensor(
        [[[s, 0.0, x], [0.0, s, y]] for s, x, y in itertools.product(SCALES, SHIFTS, SHIFTS)], device=images.device
    )
    looks = _look(template, starts, images.shape[-1]).flatten(1)
    looks = looks - looks.mean(1, keepdim=True)
    flat = images.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    likeness = (flat @ looks.T) / (flat.norm(dim=1)[:, None] * looks.norm(dim=1)[None]).clamp_min(1e-6)
    return starts[likeness.topk(keep, dim=1).indices]
