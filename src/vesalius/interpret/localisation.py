"""How well a map finds a part: average precision, pointing game, overlap at a mass of attention, best Dice."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from vesalius.interpret.attention_maps import enlarge_nearest, mass_mask

__all__ = ["average_precision", "best_dice", "enlarge", "mass_overlap", "pointing_game"]

Maps = Float[Tensor, "images height width"]
Truth = Bool[Tensor, "images height width"]

_THRESHOLDS = 50


def enlarge(
    maps: Float[Tensor, "images maps rows columns"], size: tuple[int, int], mode: str = "bilinear"
) -> Float[Tensor, "images maps height width"]:
    """Enlarge maps to (height, width), by `bilinear` interpolation or `nearest` patch; this alone moves scores."""
    if mode == "nearest":
        return enlarge_nearest(maps, size)
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def average_precision(scores: Maps, truth: Truth) -> Float[Tensor, "images"]:
    """Area under the precision-recall curve over the pixels of each image, as the sum of (R_k - R_k-1) P_k.

    Pixels of equal score enter together, as in scikit-learn. NaN where an image has nothing of the part.
    """
    pairs = zip(scores.flatten(1).float().numpy(), truth.flatten(1).numpy(), strict=True)
    return torch.tensor([_average_precision(*pair) for pair in pairs], dtype=torch.float32)


def _average_precision(scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> float:
    """Sort one integer a pixel, its score above and its truth in the lowest bit: many times as fast as an argsort."""
    bits = (scores + np.float32(0)).view(np.int32).astype(np.int64)  # adding 0 makes one of both zeros
    order = np.where(bits < 0, np.int64(np.iinfo(np.int32).min) - bits, bits)  # negative floats descend as integers
    keys = np.sort((order << 1) | truth)[::-1]
    hits = np.cumsum(keys & 1)
    if not len(hits) or hits[-1] == 0:
        return math.nan
    last = np.flatnonzero(np.diff(keys >> 1, append=np.int64(1) << 40))
    reached = hits[last]
    return float(np.sum(np.diff(reached, prepend=0) * (reached / (last + 1))) / hits[-1])


def pointing_game(scores: Maps, truth: Truth) -> Float[Tensor, "images"]:
    """Return 1 where the map's highest pixel lies in the part, else 0; NaN where there is nothing of the part.

    Of several pixels equally high, as in a mask, the share that lies in the part: what one drawn among them would get.
    """
    flat, inside = scores.flatten(1), truth.flatten(1)
    highest = flat == flat.amax(1, keepdim=True)
    hit = (highest & inside).sum(1) / highest.sum(1)
    return torch.where(inside.any(1), hit, torch.nan)


def mass_overlap(
    attention: Float[Tensor, "images rows columns"], truth: Truth, *, mass: float = 0.6
) -> Float[Tensor, "images"]:
    """Return the IoU of the part with the fewest patches that hold `mass` of the attention (Caron 2021)."""
    rows, columns = attention.shape[1:]
    kept = mass_mask(attention.flatten(1), mass=mass).view(-1, 1, rows, columns)
    size = (truth.shape[1], truth.shape[2])
    held = enlarge_nearest(kept.float(), size)[:, 0] > 0.5
    either = (held | truth).flatten(1).sum(1)
    return torch.where(truth.flatten(1).any(1), (held & truth).flatten(1).sum(1) / either, torch.nan)


def best_dice(scores: Maps, truth: Truth) -> tuple[float, Float[Tensor, "images"]]:
    """Return the one threshold, as a share of each map's own maximum, of the best mean Dice, and each image's Dice."""
    top = scores.flatten(1).amax(1).clamp_min(1e-12)[:, None]
    # A pixel of bin b is held at the levels (0 + .5) / n ... (b - 1 + .5) / n; counting bins replaces 50 comparisons.
    bins = (scores.flatten(1) / top * _THRESHOLDS + 0.5).floor().clamp(0, _THRESHOLDS).long()
    inside = truth.flatten(1)
    counts = torch.zeros(len(scores), _THRESHOLDS + 1, dtype=torch.float64)
    held = counts.scatter_add(1, bins, torch.ones_like(bins, dtype=torch.float64))
    hit = counts.scatter_add(1, bins, inside.double())
    held, hit = (each.flip(1).cumsum(1).flip(1)[:, 1:] for each in (held, hit))
    size = inside.sum(1, keepdim=True)
    dice = torch.where(size > 0, 2 * hit / (held + size), torch.nan)
    best = int(dice.nanmean(0).argmax())
    return (best + 0.5) / _THRESHOLDS, dice[:, best].float()
