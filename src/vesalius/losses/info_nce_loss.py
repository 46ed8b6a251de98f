"""InfoNCE: each query must find its own key among those of the other images (MoCo)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["info_nce_loss"]


def info_nce_loss(
    queries: Float[Tensor, "batch dim"],
    keys: Float[Tensor, "keys dim"],
    *,
    queue: Float[Tensor, "queued dim"] | None = None,
    places: Int[Tensor, " batch"] | None = None,
    temperature: float = 0.2,
) -> Float[Tensor, ""]:
    """Compute the loss in float32; keys and queue get no gradient.

    With a queue, query i meets its key and the whole queue (He et al. 2020, MoCo, arXiv 1911.05722, equation 1);
    without, the keys of all other images (Chen et al. 2021, MoCo v3, arXiv 2104.02057, algorithm 1, without its factor
    of two temperatures).

    Args:
        queries: Brought to length 1 here.
        keys: Of the same images, key i for query i; without a queue there may be more, of other processes.
        queue: Keys of earlier images, of length 1.
        places: Without a queue, which key is each query's own; key i for query i by default.
        temperature: tau.
    """
    # Autocast would multiply in bf16, whose steps near a cosine of 1 are as large as what tells images apart.
    with torch.autocast(queries.device.type, enabled=False):
        ours = functional.normalize(queries.float(), dim=-1)
        theirs = functional.normalize(keys.detach().float(), dim=-1)
        own = torch.arange(len(ours), device=ours.device) if places is None else places
        if queue is None:
            return functional.cross_entropy(ours @ theirs.mT / temperature, own)
        logits = torch.cat([(ours * theirs).sum(dim=-1, keepdim=True), ours @ queue.detach().float().mT], dim=-1)
        return functional.cross_entropy(logits / temperature, torch.zeros_like(own))
