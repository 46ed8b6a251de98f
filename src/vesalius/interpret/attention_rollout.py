"""What reached the pooled token through all blocks: attention rolled out (Abnar & Zuidema 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float

from vesalius.backbones.block_attention import BlockAttention
from vesalius.errors import BackboneError

__all__ = ["attention_rollout"]


def attention_rollout(
    blocks: Sequence[BlockAttention], *, has_cls: bool = True
) -> Float[torch.Tensor, "batch rows columns"]:
    """Multiply the attention of all blocks, averaged over heads, each half with what skips it.

    R = Π_l (A_l + I) / 2, last block first, A_l the mean over heads (Abnar & Zuidema 2020, arXiv 2005.00928, section
    3). Returned is its row of [CLS], or the mean of the patches' rows where there is none, over the patches.

    Args:
        blocks: Of a ViT, first to last.
        has_cls: Whether the first token is [CLS].

    Raises:
        BackboneError: Tokens that attend in windows or are merged on the way (Swin, ViTAEv2): rows of one block do not
            stand for those of the next.
    """
    first = blocks[0]
    if any(len(one.places) != 1 or one.places.shape != first.places.shape for one in blocks):
        raise BackboneError(
            f"rollout follows the same tokens through all blocks; {first.name} and others attend in windows or merge "
            "tokens: use the map of the last block"
        )
    rolled: torch.Tensor | None = None
    for block in blocks:
        mixed = block.weights[:, 0].mean(1)
        mixed = 0.5 * (mixed + torch.eye(mixed.shape[-1], dtype=mixed.dtype, device=mixed.device))
        rolled = mixed if rolled is None else mixed @ rolled
    assert rolled is not None  # noqa: S101 (there is a first block)
    patches = first.places[0] >= 0
    row = rolled[:, 0] if has_cls else rolled[:, patches].mean(1)
    return row[:, patches].reshape(-1, *first.grid)
