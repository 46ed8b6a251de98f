"""How alike two images are, one figure an image: correlation over the whole image and over small windows."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["GlobalCorrelation", "LocalCorrelation", "Similarity"]

Images = Float[Tensor, "batch 1 height width"]


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
        """Return r of every image."""
        centred = moved - moved.mean((2, 3), keepdim=True)
        length = centred.norm(dim=(2, 3)).squeeze(1).clamp_min(1e-6)
        r: Tensor = (self.fixed * centred).sum((1, 2, 3)) / length
        return r


class LocalCorrelation(Similarity):
    """Squared correlation in a square window about every pixel, averaged (Avants 2008): blind to slow shading."""

    def __init__(self, fixed: Images, *, window: int = 9, floor: float = 1e-5) -> None:
        """Compute what depends on the fixed images alone.

        Args:
            fixed: Values of about [0, 1].
            window: Its side in pixels, odd.
            floor: Smallest variance of a window; flat ones (padding) count for nothing.
        """
        self.window, self.floor, self.fixed = window, floor, fixed
        self.mean = self._box(fixed)
        self.variance = (self._box(fixed * fixed) - self.mean**2).clamp_min(floor)

    def __call__(self, moved: Images) -> Float[Tensor, "batch"]:
        """Return the mean squared local correlation of every image."""
        mean = self._box(moved)
        variance = (self._box(moved * moved) - mean**2).clamp_min(self.floor)
        covariance = self._box(self.fixed * moved) - self.mean * mean
        return (covariance * covariance / (self.variance * variance)).mean((1, 2, 3))

    def _box(self, x: Tensor) -> Tensor:
        pooled: Tensor = functional.avg_pool2d(x, self.window, 1, self.window // 2, count_include_pad=False)
        return pooled
