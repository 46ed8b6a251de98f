"""Agreement of predictions with targets that get no gradient (BYOL, SimSiam)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.losses.pairs_of_views import pairs_of_views

__all__ = ["negative_cosine_loss"]


def negative_cosine_loss(
    predictions: Float[Tensor, "views batch dim"], targets: Float[Tensor, "teacher_views batch dim"]
) -> Float[Tensor, ""]:
    """Return the mean of -cos(prediction, target) over the batch and all pairs of different views, in float32.

    SimSiam's loss (Chen & He 2021, arXiv 2011.10566, equations 1 to 4) for two views; BYOL's (Grill et al. 2020, arXiv
    2006.07733, equation 2, both directions) is 4 + 4 times it. With further student views (multi-crop) each meets every
    target.

    Args:
        predictions: Of all views of the student; the first `teacher_views` are those that the teacher saw.
        targets: Projections of the teacher's views, in the same order; gradients stop here.
    """
    ours = functional.normalize(predictions.float(), dim=-1)
    theirs = functional.normalize(targets.detach().float(), dim=-1)
    values = [(ours[one] * theirs[other]).sum(dim=-1).mean() for one, other in pairs_of_views(len(ours), len(theirs))]
    return -torch.stack(values).mean()
