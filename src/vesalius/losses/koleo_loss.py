"""KoLeo: keep the features of a batch apart from their nearest neighbours."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["koleo_loss"]


def koleo_loss(features: Float[Tensor, "batch dim"], *, eps: float = 1e-6) -> Float[Tensor, ""]:
    """Kozachenko-Leonenko entropy estimator, negated: -mean log min_j |x_i - x_j| over L2-normalised features.

    Sablayrolles et al. 2019 (arXiv 1806.03198, equation 2), used beside DINO's loss by DINOv2 (arXiv 2304.07193,
    section 4). It works against the loss of rank that small sets and short trainings suffer. Only the images of this
    process are looked at.

    Example:
        >>> koleo_loss(torch.eye(3)).item()  # three points, each sqrt(2) from the next
        -0.346...
    """
    points = functional.normalize(features.float(), dim=-1)
    # Autocast would multiply in bf16, which cannot tell neighbours apart where all features are alike.
    with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
        similarity = points @ points.T
        similarity.fill_diagonal_(-2.0)
        nearest = similarity.argmax(dim=1)
    distance = (points - points[nearest]).norm(dim=-1)
    return -torch.log(distance + eps).mean()
