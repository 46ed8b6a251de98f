"""Normalised temperature-scaled cross-entropy: two views of one image against all others of the batch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["nt_xent_loss"]


def nt_xent_loss(
    first: Float[Tensor, "batch dim"], second: Float[Tensor, "batch dim"], *, temperature: float = 0.1
) -> Float[Tensor, ""]:
    """Compute NT-Xent (Chen et al. 2020, SimCLR, arXiv 2002.05709, equation 1), in float32.

    For each of the 2 B embeddings: -log of the share that its other view has in the sum of exp(cos / temperature) over
    all but itself; the mean of all. Only the images of this process are compared.

    Args:
        first: Embeddings of one view of each image; they are brought to length 1 here.
        second: Of another view, in the same order.
        temperature: tau.
    """
    embedded = functional.normalize(torch.cat([first, second]).float(), dim=1)
    logits = embedded @ embedded.T / temperature
    logits = logits.masked_fill(torch.eye(len(logits), dtype=torch.bool, device=logits.device), float("-inf"))
    batch = torch.arange(len(first), device=logits.device)
    return functional.cross_entropy(logits, torch.cat([batch + len(first), batch]))
