"""The affine part of a registration: many starts compared, the best of them climbed by gradient."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.registration.pyramid import at_size
from vesalius.registration.similarity import GlobalCorrelation

__all__ = ["find_affines"]

SCALES = (0.8, 1.0, 1.25)
SHIFTS = (-0.25, 0.0, 0.25)
"""Of the starts: template size over image size, and shifts as shares of half the image's side."""


def find_affines(
    images: Float[Tensor, "batch 1 height width"],
    template: Float[Tensor, "1 1 rows columns"],
    *,
    starts: int,
    steps: int = 25,
    pixels: int = 32,
    learning_rate: float = 0.03,
) -> Float[Tensor, "batch starts 2 3"]:
    """Find affines that carry image to template coordinates, both in [-1, 1], by global correlation.

    Args:
        images: See `Registration.register`.
        template: See there.
        starts: How many of the 27 starts, the best of each image, are climbed.
        steps: Of Adam, from each.
        pixels: Side at which it is searched.
        learning_rate: Of Adam.
    """
    fixed, moving = (at_size(x, (pixels, pixels)) for x in (images, template))
    theta = _best_starts(fixed, moving, starts).flatten(0, 1).clone().requires_grad_()
    similarity = GlobalCorrelation(fixed.repeat_interleave(starts, 0))
    optimizer = torch.optim.Adam([theta], learning_rate)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        (-similarity(_look(moving, theta)).sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return theta.detach().view(len(images), starts, 2, 3)


def _look(template: Tensor, theta: Tensor) -> Tensor:
    grid = functional.affine_grid(theta, [len(theta), *template.shape[1:]], align_corners=False)
    moving = template.expand(len(theta), -1, -1, -1)
    return functional.grid_sample(moving, grid, padding_mode="border", align_corners=False)


def _best_starts(images: Tensor, template: Tensor, keep: int) -> Float[Tensor, "batch keep 2 3"]:
    """Correlate every start with every image; keep the best of each."""
    starts = torch.tensor(
        [[[s, 0.0, x], [0.0, s, y]] for s, x, y in itertools.product(SCALES, SHIFTS, SHIFTS)], device=images.device
    )
    looks = _look(template, starts).flatten(1)
    looks = looks - looks.mean(1, keepdim=True)
    flat = images.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    likeness = (flat @ looks.T) / (flat.norm(dim=1)[:, None] * looks.norm(dim=1)[None]).clamp_min(1e-6)
    return starts[likeness.topk(keep, dim=1).indices]
