"""Histogram equalisation: what two radiographs of different exposure have in common is the order of their values."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["equalise"]

LEVELS = 256


def equalise(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """Replace every value in [0, 1] by the share of its image's values that are not above it, on 256 levels."""
    level = (images * (LEVELS - 1)).round().clamp(0, LEVELS - 1).long().flatten(1)
    counts = torch.zeros(len(images), LEVELS, device=images.device)
    counts.scatter_add_(1, level, torch.ones_like(level, dtype=counts.dtype))
    share = counts.cumsum(1) / level.shape[1]
    return share.gather(1, level).view_as(images).to(images.dtype)
