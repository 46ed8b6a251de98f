"""How alike two images are, one figure an image: correlation over the whole image and over small windows."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["GlobalCorrelation", "LocalCorrelation", "Similarity", "gray_and_edges"]

Images = Float[Tensor, "batch features height width"]


class Similarity(ABC):
    """Made for fixed images once; called with what has been moved onto them. 1 is perfect, 0 is unrelated."""

    @abstractmethod
    def __call__(self, moved: Images) -> Float[Tensor, "batch"]:
        """Return the likeness of every image."""


class GlobalCorrelation(Similarity):
    """Normalised cross-correlation (Pearson's r) over the whole image."""

    def __init__(self, fixed: Images) -> None:
        """Centre and scale the fixed images."""
        centred = fixed - fixed.mean((2, 3), keepdim=True)
        self.fixed = centred / centred.norm(dim=(2, 3), keepdim=True).clamp_min(1e-6)

    def __call__(self, moved: Images) -> Float[Tensor, "batch"]:
        """Return r of every image, averaged over its features."""
        centred = moved - moved.mean((2, 3), keepdim=True)
        length = centred.norm(dim=(2, 3)).clamp_min(1e-6)
        r: Tensor = ((self.fixed * centred).sum((2, 3)) / length).mean(1)
        return r


class LocalCorrelation(Similarity):
    """Squared correlation in square windows, averaged (Avants 2008): blind to slow shading."""

    def __init__(
        self,
        fixed: Images,
        *,
        window: int = 9,
        stride: int = 1,
        weight: Float[Tensor, "batch 1 height width"] | None = None,
        floor: float = 1e-5,
    ) -> None:
        """Compute what depends on the fixed images alone.

        Args:
            fixed: Values of about [0, 1].
            window: Its side in pixels, odd.
            stride: Windows stand about every stride-th pixel; neighbours share most of what they see.
            weight: How much the window about a pixel counts; all the same when None.
            floor: Smallest variance of a window; flat ones (padding) count for nothing.
        """
        self.floor, self.fixed = floor, fixed
        self.down, self.across = (_box(side, window, stride, fixed) for side in fixed.shape[2:])
        self.mean = self._means(fixed)
        self.variance = (self._means(fixed * fixed) - self.mean**2).clamp_min(floor)
        if weight is None:
            weight = torch.ones_like(fixed[:, :1])
        weight = weight[:, :, stride // 2 :: stride, stride // 2 :: stride]
        self.weight = weight / weight.sum((2, 3), keepdim=True).clamp_min(1e-6) / fixed.shape[1]

    def __call__(self, moved: Images) -> Float[Tensor, "batch"]:
        """Return the weighted mean of the squared local correlation of every image."""
        means = self._means(torch.cat([moved, moved * moved, self.fixed * moved], 1))
        mean, square, product = torch.split(means, moved.shape[1], 1)
        variance = (square - mean**2).clamp_min(self.floor)
        covariance = product - self.mean * mean
        squared: Tensor = self.weight * covariance * covariance / (self.variance * variance)
        return squared.sum((1, 2, 3))

    def _means(self, x: Tensor) -> Tensor:
        """Average over the windows: two products by a band matrix, many times as fast on a CPU as pooling."""
        rows = functional.linear(functional.linear(x, self.across).transpose(2, 3), self.down)
        return rows.transpose(2, 3)


def gray_and_edges(
    images: Float[Tensor, "batch 1 height width"], *, gain: float = 3.0
) -> Float[Tensor, "batch 2 height width"]:
    """Put the length of the gray values' gradient beside them: borders count, whatever lies on either side.

    Args:
        images: Values in [0, 1].
        gain: On the gradient, so that it has about the spread of the gray values.
    """
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return torch.cat([images, gain * (across.square() + down.square() + 1e-6).sqrt()], 1)


def _box(side: int, window: int, stride: int, like: Tensor) -> Float[Tensor, "windows pixels"]:
    """Weights of the pixels of an axis in each of its windows; at the border a window holds what there is of it."""
    at = torch.arange(side)
    inside = (at[stride // 2 :: stride, None] - at[None]).abs() <= window // 2
    return (inside.double() / inside.sum(1, keepdim=True)).to(like)
