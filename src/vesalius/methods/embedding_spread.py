"""Whether embeddings of different images differ: where they do not, a method has collapsed to one point."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["embedding_spread"]


@torch.no_grad()
def embedding_spread(embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    """Return the mean standard deviation of a coordinate of the embeddings (of length 1), times sqrt(dim).

    1 where they point everywhere alike, 0 where all are one (Chen & He 2021, SimSiam, section 4.1).
    """
    directions = functional.normalize(embeddings.float(), dim=-1)
    spread: Tensor = directions.std(dim=0, correction=0).mean() * directions.shape[1] ** 0.5
    return spread
