"""What a backbone makes of a batch of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Features"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The outputs of a backbone, whatever its family.

    Attributes:
        pooled: `[batch, dim]`, the vector that methods train: [CLS], the mean patch or their average, as configured.
        patches: `[batch, tokens, dim]`, row-major over `grid`; None where they were not asked for.
        grid: (rows, columns) of all patches of the images.
        cls: `[batch, dim]` or None for a backbone without a class token.
        attention: `[batch, heads, tokens]`, the last block's [CLS] row without [CLS] -> [CLS]; only where asked for.
        inner: `[batch, tokens, dim]`, the patch tokens that enter a ViT's last block; only where asked for.
        kept: `[batch, tokens]`, where a ViT in training left patches out: the place of each token on the grid, row by
            row. `patches`, `attention` and `inner` hold these tokens in this order.
        stages: Feature maps `[batch, dim, rows, columns]`, fine to coarse; only where asked for.
    """

    pooled: Float[Tensor, "batch dim"]
    patches: Float[Tensor, "batch tokens dim"] | None
    grid: tuple[int, int]
    cls: Float[Tensor, "batch dim"] | None = None
    attention: Float[Tensor, "batch heads tokens"] | None = None
    inner: Float[Tensor, "batch tokens dim"] | None = None
    kept: Int[Tensor, "batch tokens"] | None = None
    stages: tuple[Float[Tensor, "batch ..."], ...] = ()

    def at_tokens(self, maps: Float[Tensor, "batch channels cells"]) -> Float[Tensor, "batch channels tokens"]:
        """Return of maps on the whole grid what lies at the tokens that are there."""
        return maps if self.kept is None else maps.gather(2, self.kept[:, None].expand(-1, maps.shape[1], -1))

    def split(self, rows: int) -> tuple[Features, ...]:
        """Cut the batch into parts of `rows` images, the last one of what is left."""
        return tuple(self._part(slice(start, start + rows)) for start in range(0, len(self.pooled), rows))

    def _part(self, rows: slice) -> Features:
        return Features(
            pooled=self.pooled[rows],
            patches=None if self.patches is None else self.patches[rows],
            grid=self.grid,
            cls=None if self.cls is None else self.cls[rows],
            attention=None if self.attention is None else self.attention[rows],
            inner=None if self.inner is None else self.inner[rows],
            kept=None if self.kept is None else self.kept[rows],
            stages=tuple(stage[rows] for stage in self.stages),
        )

    @staticmethod
    def joined(parts: Sequence[Features]) -> Features:
        """Put the parts of one batch together again, in their order."""
        if len(parts) == 1:
            return parts[0]

        def join(tensors: Sequence[Tensor | None]) -> Tensor | None:
            there = [tensor for tensor in tensors if tensor is not None]
            return torch.cat(there) if there else None

        return Features(
            pooled=torch.cat([part.pooled for part in parts]),
            patches=join([part.patches for part in parts]),
            grid=parts[0].grid,
            cls=join([part.cls for part in parts]),
            attention=join([part.attention for part in parts]),
            inner=join([part.inner for part in parts]),
            kept=join([part.kept for part in parts]),
            stages=tuple(torch.cat(maps) for maps in zip(*(part.stages for part in parts), strict=True)),
        )
