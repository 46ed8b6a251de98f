"""Soft Dice: how far predicted parts and true parts fail to overlap."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["dice_loss"]


def dice_loss(
    probabilities: Float[Tensor, "batch parts *pixels"], target: Float[Tensor, "batch parts *pixels"]
) -> Float[Tensor, ""]:
    """One minus the Dice coefficient of each part over the whole batch, averaged over the parts.

    1 - mean over parts of 2 sum p g / (sum p^2 + sum g^2), Milletari 2016 (V-Net, arXiv 1606.04797, section 3). With
    the squares it is least, and 0, where p = g, also where g is a share of a pixel. It counts a small part as much as a
    large one, which cross-entropy does not. A part that is neither predicted nor there gives 0.

    Args:
        probabilities: In [0, 1], for example a softmax without its background.
        target: In [0, 1].

    Example:
        >>> target = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
        >>> dice_loss(torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), target).item()  # 1 - 2 * 1 / (1 + 2)
        0.333...
    """
    over = (0, *range(2, probabilities.ndim))
    common = (probabilities * target).sum(over)
    both = (probabilities.square() + target.square()).sum(over)
    return 1 - torch.where(both > 0, 2 * common / both.clamp_min(1e-6), torch.ones_like(both)).mean()
