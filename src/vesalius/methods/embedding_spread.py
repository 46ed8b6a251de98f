"""Whether different images get different embeddings: where they do not, a method has collapsed to one point."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.distributed import all_reduce_sum

__all__ = ["embedding_spread"]


@torch.no_grad()
def embedding_spread(*places: Float[Tensor, "_ _"]) -> Float[Tensor, ""]:
    """Return sqrt(1 - |mean u|^2) at the place where it is least, u the rows of all processes, brought to length 1.

    1 where they point everywhere alike, 0 where all are one (Chen & He 2021, SimSiam, section 4.1).

    Args:
        places: The backbone's pooled features, and what the head makes of them before any norm at its end: behind batch
            norm points that differ by noise are as far apart as any others.
    """
    units = [functional.normalize(place.float(), dim=-1) for place in places]
    sums = [torch.cat([unit.sum(dim=0), unit.new_tensor([len(unit)])]) for unit in units]
    totals = torch.split(all_reduce_sum(torch.cat(sums)), [len(one) for one in sums])
    means = [total[:-1] / total[-1].clamp_min(1) for total in totals]
    return torch.stack([1 - mean.square().sum() for mean in means]).min().clamp_min(0).sqrt()
