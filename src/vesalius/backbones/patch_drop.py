"""A ViT in training leaves out some of its patch tokens, and remembers which (Liu et al. 2022, arXiv 2208.07220)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["PatchDrop"]


class PatchDrop(nn.Module):
    """Takes the place of timm's module of the same purpose, which does not tell the places of the tokens it keeps.

    Attributes:
        kept: `[batch, tokens]`, of the last forward pass: each kept token's place among the patches, row by row; None
            where all were kept.
    """

    def __init__(self, share: float, prefix_tokens: int) -> None:
        """Leave out this share of the patches of every image, in training alone, and none of the prefix tokens."""
        super().__init__()
        self.share, self.prefix_tokens = share, prefix_tokens
        self.kept: Int[Tensor, "batch tokens"] | None = None

    def forward(self, tokens: Float[Tensor, "batch all dim"]) -> Float[Tensor, "batch left dim"]:
        """Return the prefix tokens and the patches that stay."""
        self.kept = None
        if not self.training or self.share == 0:
            return tokens
        prefix, patches = tokens[:, : self.prefix_tokens], tokens[:, self.prefix_tokens :]
        images, count = patches.shape[:2]
        stay = max(1, int(count * (1 - self.share)))
        self.kept = torch.randn(images, count, device=tokens.device).argsort(dim=-1)[:, :stay]
        return torch.cat([prefix, patches.gather(1, self.kept[..., None].expand(-1, -1, patches.shape[2]))], dim=1)
