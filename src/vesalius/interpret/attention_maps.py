"""From the last block's [CLS] attention to maps over the image, as DINO draws them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import EvaluationError

__all__ = ["attention_maps", "enlarge_nearest", "mass_mask"]

# float32 attention adds up to 1 only to about 1e-7; a set that reaches the mass within this is complete.
_ROUNDING = 1e-6


def attention_maps(
    attention: Float[Tensor, "batch heads tokens"], grid: tuple[int, int]
) -> Float[Tensor, "batch heads rows columns"]:
    """Lay each head's attention over the patch grid, so that every map sums to 1.

    Args:
        attention: Attention of [CLS] to the patches, row-major over `grid` (`Features.attention`).
        grid: (rows, columns) of the patch tokens.

    Returns:
        One map a head, each summing to 1: [CLS] -> [CLS] is left out of `attention`, so its rows sum to less. Where
        [CLS] looks at itself alone, to the last digit, the map is the same everywhere: it tells of no patch.

    Raises:
        EvaluationError: The grid does not fit the tokens, or a row is negative or not finite.
    """
    batch, heads, tokens = attention.shape
    rows, columns = grid
    if rows * columns != tokens:
        raise EvaluationError(
            f"attention over {tokens} patches arrived with a grid of {rows} x {columns} = {rows * columns}; "
            "pass the `grid` of the same `Features`, and attention without [CLS] and registers"
        )
    return _shares(attention).reshape(batch, heads, rows, columns)


def enlarge_nearest(
    maps: Float[Tensor, "batch heads rows columns"], size: tuple[int, int]
) -> Float[Tensor, "batch heads height width"]:
    """Enlarge maps to (height, width) by repeating each patch's value, inventing nothing between patches."""
    height, width = size
    rows, columns = maps.shape[-2:]
    # Pixel centre -> patch, in integers: exact for sizes that are no multiple of the grid, too.
    row = ((2 * torch.arange(height, device=maps.device) + 1) * rows) // (2 * height)
    column = ((2 * torch.arange(width, device=maps.device) + 1) * columns) // (2 * width)
    return maps[..., row[:, None], column[None, :]]


def mass_mask(attention: Float[Tensor, "*leading tokens"], *, mass: float = 0.6) -> Bool[Tensor, "*leading tokens"]:
    """Mark the smallest set of patches that holds `mass` of the attention (Caron et al. 2021, arXiv 2104.14294).

    Patches enter from the most to the least attended; among equals the earlier one enters first, so the set is
    always the same and never larger than needed.

    Example:
        >>> mass_mask(torch.tensor([0.5, 0.1, 0.2, 0.2]), mass=0.6).tolist()
        [True, False, True, False]

    Raises:
        EvaluationError: `mass` is not in (0, 1], or a row is negative or not finite.
    """
    if not 0 < mass <= 1:
        raise EvaluationError(f"mass must lie in (0, 1], got {mass}; DINO's pictures use 0.6")
    share = _shares(attention.double())
    ordered, order = share.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    enters = before < mass - _ROUNDING
    return torch.zeros_like(enters).scatter(-1, order, enters)


def _shares(attention: Float[Tensor, "*leading tokens"]) -> Float[Tensor, "*leading tokens"]:
    """Bring each row to a sum of 1, refused where it cannot be attention."""
    total = attention.sum(-1, keepdim=True)
    if not bool(torch.isfinite(total).all()) or bool((attention < 0).any()):
        raise EvaluationError(
            "attention has rows that are negative or not finite; the backbone's weights may hold NaN: look for an "
            "alarm in run.json"
        )
    even = torch.full_like(attention, 1 / attention.shape[-1])
    return torch.where(total > 0, attention / total.clamp_min(torch.finfo(total.dtype).tiny), even)
