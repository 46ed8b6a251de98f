"""How far a [CLS] attention row lies from the part of the image that it shall look at, two ways."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["attention_inside", "coverage_loss", "linear_alignment_loss"]

Row = Float[Tensor, "*batch tokens"]


def attention_inside(attention: Row, target: Row) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return the attention that falls inside and outside of the part: sum a k and sum a (1 - k)."""
    inside = (attention * target).sum(-1)
    return inside, attention.sum(-1) - inside


def linear_alignment_loss(
    attention: Row, target: Row, *, inclusion: float, exclusion: float
) -> Float[Tensor, "*batch"]:
    """Reward attention inside the part and punish it outside (MeDINO, Miao 2022, equation 2).

    -inclusion * sum a k + exclusion * sum a (1 - k): the signs of the paper's prose; as printed they are inverted and
    would push attention out of the organs. It asks for no coverage: one pixel inside satisfies it.

    What [CLS] gives to itself costs nothing. A row that knows nothing yet is therefore pushed onto [CLS], and may stay
    there for good, where the part's share of the view is below exclusion / (inclusion + exclusion): of equal lambdas,
    always. The head of the heart was lost so (docs/LOG.md); exclusion a tenth of inclusion kept it.

    Args:
        attention: Softmax row over the patches; its sum falls short of 1 by what [CLS] gives to itself.
        target: The part's share of every patch, in [0, 1].
        inclusion: The paper's lambda 1.
        exclusion: The paper's lambda 2.
    """
    inside, outside = attention_inside(attention, target)
    return exclusion * outside - inclusion * inside


def coverage_loss(attention: Row, target: Row, *, floor: float = 1e-8) -> Float[Tensor, "*batch"]:
    """Cross-entropy from the part, as a distribution over the patches, to the attention row.

    It is least where the row is the part's own distribution, so every patch of the part is attended to as much as it
    belongs to it; what [CLS] gives to itself counts as lost. A part that is not in view gives 0.

    Args:
        attention: See `linear_alignment_loss`.
        target: See there.
        floor: Added to the attention before its logarithm.
    """
    whole = target.sum(-1, keepdim=True)
    share = target / whole.clamp_min(1e-6)
    return -(share * torch.log(attention + floor)).sum(-1)
