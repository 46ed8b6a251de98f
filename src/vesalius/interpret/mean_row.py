"""Where a backbone without [CLS] looks: the attention of its average patch."""

from __future__ import annotations

import torch
from jaxtyping import Float

from vesalius.backbones.block_attention import BlockAttention

__all__ = ["mean_row"]


def mean_row(block: BlockAttention) -> Float[torch.Tensor, "batch heads rows columns"]:
    """Average what all patches of a block attend to: the stand-in for [CLS] in Swin, ViTAEv2 and ViTs without it.

    Such backbones are pooled by the mean patch. Its share of a head's output is Σ_k (1/N Σ_q a_qk) v_k, so that this
    mean row weighs the values in the pooled vector as the row of [CLS] does in its own. In windows, a patch is attended
    to from its own window alone. What goes to prefix tokens and padding is left out.

    Args:
        block: Attention with the places of its tokens.
    """
    batch, _, heads = block.weights.shape[:3]
    there = block.places >= 0
    given = (block.weights * there[:, None, :, None].to(block.weights)).sum(3)  # [batch, windows, heads, keys]
    given = given.transpose(1, 2)[:, :, there]
    cells = block.grid[0] * block.grid[1]
    maps = given.new_zeros(batch, heads, cells).index_add_(2, block.places[there], given)
    return (maps / there.sum()).reshape(batch, heads, *block.grid)
