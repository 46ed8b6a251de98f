"""Whether an explanation can be trusted: where it points, what the network loses without it, whether weights matter."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import spearmanr
from torch import Tensor, nn

__all__ = ["Curves", "energy_inside", "insertion_deletion", "rank_correlation", "with_shuffled_weights"]

_STEPS = 20

_Network = TypeVar("_Network", bound=nn.Module)

Score = Callable[[Float[Tensor, "batch channels height width"]], Float[Tensor, " batch"]]
"""How sure a network is of what is explained, in [0, 1]."""


def energy_inside(saliency: Float[Tensor, "height width"], truth: Bool[Tensor, "height width"]) -> float:
    """Return the share of a map that lies in a part (Wang et al. 2020, arXiv 1910.01279, section 4.4).

    An even map has the part's share of the image. NaN where there is nothing of the part, or no map.
    """
    total = float(saliency.sum())
    if total <= 0 or not bool(truth.any()):
        return math.nan
    return float(saliency[truth].sum()) / total


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What a network makes of an image that is taken away, or put together, in the order of a map.

    Attributes:
        shares: Of the pixels, from 0 to 1.
        deletion: The network's score after this share, most salient first, became even gray. Soon low is good.
        insertion: Its score of the even image with this share put back. Soon high is good.
    """

    shares: Float[np.ndarray, " points"]
    deletion: Float[np.ndarray, " points"]
    insertion: Float[np.ndarray, " points"]

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve."""
        return float(np.trapezoid(self.insertion, self.shares))


@torch.no_grad()
def insertion_deletion(
    score: Score,
    pixels: Float[Tensor, "channels height width"],
    saliency: Float[Tensor, "height width"],
    *,
    steps: int = _STEPS,
) -> Curves:
    """Take pixels away, and put them back, from the most to the least salient (Petsiuk et al. 2018, arXiv 1806.07421).

    Both curves lead from the image to its own mean and back. (The paper inserts into a blurred image; large parts can
    still be made out in it.) Of pixels equally salient the upper and left ones come first.

    Args:
        score: The network's.
        pixels: One normalised image.
        saliency: The map.
        steps: Into how many equal shares the pixels are dealt.
    """
    order = saliency.flatten().argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    shares = np.linspace(0.0, 1.0, steps + 1)
    taken = torch.stack([rank < round(share * len(order)) for share in shares]).reshape(-1, 1, *saliency.shape)
    even = pixels.mean((1, 2), keepdim=True)[None]
    taken = taken.to(pixels.device)
    return Curves(
        shares=shares,
        deletion=score(torch.where(taken, even, pixels[None])).double().cpu().numpy(),
        insertion=score(torch.where(taken, pixels[None], even)).double().cpu().numpy(),
    )


def with_shuffled_weights(network: _Network, *, seed: int = 0) -> _Network:
    """Return a copy of a network that has forgotten what it learned: the entries of every tensor in another order.

    The sanity check of Adebayo et al. (2018, arXiv 1810.03292): a map that stays as it was does not tell of what the
    network learned. Shuffled, weights keep their sizes, where weights drawn anew would change what layers put out at
    all; statistics of batch norms stay.
    """
    forgot, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in forgot.parameters():
            flat = weight.flatten()
            weight.copy_(flat[torch.randperm(len(flat), generator=generator).to(flat.device)].reshape(weight.shape))
    forgot.eval()
    return forgot


def rank_correlation(one: Float[Tensor, "height width"], other: Float[Tensor, "height width"]) -> float:
    """Return Spearman's correlation of two maps' pixels: 0 where `other` is the same everywhere, NaN where `one` is."""
    if one.max() == one.min():
        return math.nan
    if other.max() == other.min():
        return 0.0
    return float(spearmanr(one.flatten().numpy(), other.flatten().numpy()).statistic)
