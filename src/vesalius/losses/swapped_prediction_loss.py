"""The code of one view predicted from another (SwAV)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.losses.pairs_of_views import pairs_of_views

__all__ = ["swapped_prediction_loss"]


def swapped_prediction_loss(
    scores: Float[Tensor, "views batch prototypes"],
    codes: Float[Tensor, "teacher_views batch prototypes"],
    *,
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of softmax(scores / temperature) to the codes, over all pairs of different views.

    SwAV (Caron et al. 2020, arXiv 2006.09882, equations 2 and 6): each of the views that have codes is predicted from
    every other view.

    Args:
        scores: Dot products of all views with the prototypes; the first `teacher_views` are those that have codes.
        codes: See `sinkhorn`; gradients stop here.
        temperature: tau.
    """
    predicted = (scores.float() / temperature).log_softmax(dim=-1)
    values = [
        -(codes[other].detach() * predicted[one]).sum(dim=-1).mean()
        for one, other in pairs_of_views(len(scores), len(codes))
    ]
    return torch.stack(values).mean()
