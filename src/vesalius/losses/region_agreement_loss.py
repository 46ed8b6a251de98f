"""Agreement of predictions with targets, region by region, every image counting alike."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from vesalius.distributed import all_reduce_mean

__all__ = ["region_agreement_loss"]


def region_agreement_loss(
    predictions: Float[Tensor, "regions dim"],
    targets: Float[Tensor, "regions dim"],
    images: Int[Tensor, "regions"],
    *,
    batch: int,
) -> Float[Tensor, ""]:
    """Return 2 - 2 cos(prediction, target), averaged over the regions of an image and then over images, in float32.

    R2O's loss in one direction (Gokul 2022, equations 2.4 and 2.5). Images without a region that both views show count
    nothing; over several processes the loss is such that the mean of all processes' is that of one.

    Args:
        predictions: Of the student, one row a region.
        targets: Of the teacher, of the same regions; gradients stop here.
        images: Which image of the batch each region is of.
        batch: Number of images.
    """
    cosine = functional.cosine_similarity(predictions.float(), targets.detach().float(), dim=-1)
    regions = torch.bincount(images, minlength=batch).to(cosine.dtype)
    weight = 1.0 / regions[images]
    counted = all_reduce_mean((regions > 0).to(cosine.dtype).sum())
    return ((2.0 - 2.0 * cosine) * weight).sum() / counted.clamp_min(1e-6)
