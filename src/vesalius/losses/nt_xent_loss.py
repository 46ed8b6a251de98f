"""Normalised temperature-scaled cross-entropy: two views of one image against all others of the batch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

__all__ = ["nt_xent_loss"]


_NEVER = -1e4
"""Logit of what is not compared: finite, so that a row of nothing else has no gradient and no NaN."""


def nt_xent_loss(
    first: Float[Tensor, "*groups batch dim"],
    second: Float[Tensor, "*groups batch dim"],
    *,
    temperature: float = 0.1,
    known: Bool[Tensor, "*groups batch"] | None = None,
) -> Float[Tensor, ""]:
    """Compute NT-Xent (Chen et al. 2020, SimCLR, arXiv 2002.05709, equation 1), in float32.

    For each of the 2 B embeddings: -log of the share that its other view has in the sum of exp(cos / temperature) over
    all but itself; the mean of all. Only the images of this process are compared.

    Args:
        first: Embeddings of one view of each image; they are brought to length 1 here. Images are compared within
            their group alone.
        second: Of another view, in the same order.
        temperature: tau.
        known: Images that are there in both views; the others are compared with nothing. All by default.

    Returns:
        The mean over what is known; 0 where nothing is.
    """
    batch = first.shape[-2]
    embedded = functional.normalize(torch.cat([first, second], dim=-2).float(), dim=-1)
    # Autocast would multiply in bf16, whose steps near a cosine of 1 are as large as what tells images apart.
    with torch.autocast(first.device.type, enabled=False):
        logits = embedded @ embedded.mT / temperature
    itself = torch.eye(2 * batch, dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(itself, float("-inf"))
    if known is not None:
        known = torch.cat([known, known], dim=-1)
        logits = logits.masked_fill(~known[..., None, :] & ~itself, _NEVER)
    other = torch.arange(2 * batch, device=logits.device).roll(batch)
    losses = functional.cross_entropy(
        logits.flatten(0, -2), other.expand(logits.shape[:-1]).flatten(), reduction="none"
    )
    if known is None:
        return losses.mean()
    counts = known.flatten().float()
    return (losses * counts).sum() / counts.sum().clamp_min(1)
