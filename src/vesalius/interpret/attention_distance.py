"""How far a head looks: the mean distance between a patch and what it attends to."""

from __future__ import annotations

import torch
from jaxtyping import Float

from vesalius.backbones.block_attention import BlockAttention

__all__ = ["attention_distance"]


def attention_distance(
    block: BlockAttention, *, pixel_mm: Float[torch.Tensor, "batch 2"] | None = None
) -> Float[torch.Tensor, "batch heads"]:
    """Compute the mean attended distance of every head, in pixels of the input, or in millimetres.

    The distance from a query patch to every patch that it can attend to, centre to centre, weighted by its attention
    and averaged over all queries (Dosovitskiy et al. 2021, arXiv 2010.11929, figure 7; Matsoukas et al. 2022, figure
    5). Prefix tokens and padding have no place: they are no queries, and what a patch gives to them counts for nothing,
    so that its weights over the patches are brought to a sum of 1. In windows (Swin, ViTAEv2) a patch reaches its own
    window alone, which bounds its distance.

    Args:
        block: Attention with the places of its tokens.
        pixel_mm: Height and width of every image's input pixel in millimetres; the result is in millimetres then.

    Returns:
        Distances; those in pixels over `block.patch_px` are in patches.

    Example:
        >>> even = torch.full((1, 1, 1, 2, 2), 0.5)  # two patches of 16 px side by side
        >>> places = torch.tensor([[0, 1]])
        >>> attention_distance(
        ...     BlockAttention(name="attn", weights=even, places=places, grid=(1, 2), patch_px=16)
        ... ).tolist()
        [[8.0]]
    """
    there = (block.places >= 0).to(block.weights)
    row, column = block.places // block.grid[1], block.places % block.grid[1]
    where = torch.stack([row, column], dim=-1).to(block.weights) * block.patch_px
    scale = where.new_ones(1, 2) if pixel_mm is None else pixel_mm.to(where)
    where = where * scale[:, None, None]
    apart = torch.linalg.vector_norm(where[:, :, :, None] - where[:, :, None, :], dim=-1)
    weights = block.weights * there[:, None, None, :]
    walked = (weights * apart[:, :, None]).sum(-1) / weights.sum(-1).clamp_min(torch.finfo(weights.dtype).tiny)
    mean: torch.Tensor = (walked * there[:, None]).sum((1, 3)) / there.sum()
    return mean
