"""Codes that use all prototypes equally: the Sinkhorn-Knopp algorithm over the batches of all processes (SwAV)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.distributed import all_reduce_max, all_reduce_sum

__all__ = ["sinkhorn"]


@torch.no_grad()
def sinkhorn(
    scores: Float[Tensor, "rows prototypes"], *, epsilon: float = 0.05, rounds: int = 3
) -> Float[Tensor, "rows prototypes"]:
    """Return the codes of the rows (Caron et al. 2020, SwAV, arXiv 2006.09882, equations 3 to 5), in float32.

    exp(scores / epsilon) is scaled by turns so that every prototype gets the same mass of the whole batch and every row
    sums to 1; rows come last. Sums over rows are over those of all processes, so that all agree.

    Args:
        scores: Dot products of embeddings and prototypes.
        epsilon: The smaller, the sharper the codes.
        rounds: Of the two scalings.
    """
    tiny = torch.finfo(torch.float32).tiny  # what underflows is divided by this, not by 0
    logits = scores.float() / epsilon
    codes = (logits - all_reduce_max(logits.max())).exp()
    for _ in range(rounds):
        codes = codes / all_reduce_sum(codes.sum(dim=0)).clamp_min(tiny)
        codes = codes / codes.sum(dim=1, keepdim=True).clamp_min(tiny)
    return codes
