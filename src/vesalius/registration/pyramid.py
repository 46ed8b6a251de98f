"""Images at the size of a level."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["at_size"]


def at_size(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels rows columns"]:
    """Resample so that no step of a coarser or finer grid is left in the values: their gradients are compared."""
    return functional.interpolate(maps, size=size, mode="bilinear", antialias=True, align_corners=False)
