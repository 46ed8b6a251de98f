"""What a backbone makes of a batch of pixels."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

__all__ = ["Features"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The outputs of a backbone, whatever its family.

    Attributes:
        pooled: `[batch, dim]`, the vector that methods train: [CLS], the mean patch or their average, as configured.
        patches: `[batch, tokens, dim]`, row-major over `grid`.
        grid: (rows, columns) of the patch tokens; (1, tokens) where some were left out in training.
        cls: `[batch, dim]` or None for a backbone without a class token.
        attention: `[batch, heads, tokens]`, the last block's [CLS] row without [CLS] -> [CLS]; only where asked for.
        stages: Feature maps `[batch, dim, rows, columns]`, fine to coarse; only where asked for.
    """

    pooled: Float[Tensor, "batch dim"]
    patches: Float[Tensor, "batch tokens dim"]
    grid: tuple[int, int]
    cls: Float[Tensor, "batch dim"] | None = None
    attention: Float[Tensor, "batch heads tokens"] | None = None
    stages: tuple[Float[Tensor, "batch ..."], ...] = ()
