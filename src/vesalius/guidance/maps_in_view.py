"""Knowledge maps as a view sees them: cropped, turned and mirrored with it, at its patch grid."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View
from vesalius.views.geometry import map_to_view

__all__ = ["cell_shares", "coordinates_at_tokens", "coordinates_in_view", "mirrored_views", "parts_in_view"]


def mirrored_views(view: View) -> Bool[Tensor, "batch"]:
    """Say which images the view shows mirrored."""
    linear = view.affine[:, :, :2]
    return linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0] < 0


def parts_in_view(
    knowledge: Knowledge, view: View, names: PartNames, grid: tuple[int, int]
) -> Float[Tensor, "batch parts tokens"]:
    """Return each part's share of every patch, in [0, 1]; paired parts have changed places where the view mirrors.

    A mirrored left lung looks like a right one, and only how it looks is there to be learned.
    """
    maps = map_to_view(knowledge.parts.float().div_(255), view, size=grid).clamp_(0, 1)
    if names.pairs:
        swapped = maps[:, names.mirrored]
        maps = torch.where(mirrored_views(view)[:, None, None, None], swapped, maps)
    return maps.flatten(2)


def coordinates_in_view(
    knowledge: Knowledge, view: View, names: PartNames, grid: tuple[int, int]
) -> tuple[Float[Tensor, "batch tokens 2"], Float[Tensor, "batch tokens"]]:
    """Return where every patch lies in the template and how far that is known, in [0, 1].

    Where parts come in pairs the template is taken as symmetric: a mirrored view's patch lies at the mirrored place.
    Patches whose centre lies outside the image, or that reach into a fold, are not known; those at the image's edge
    are, or no patch at the rim of a whole image would ever be told its place.
    """
    places = map_to_view(knowledge.coordinates.float(), view, size=grid, fill="edge")
    share = knowledge.known.float().div_(255)
    known = map_to_view(share, view, size=grid, fill="edge").flatten(1).clamp(0, 1)
    inside = map_to_view(torch.ones_like(share), view, size=grid, mode="nearest").flatten(1)
    if names.pairs:
        mirrored = torch.stack([1 - places[:, 0], places[:, 1]], 1)
        places = torch.where(mirrored_views(view)[:, None, None, None], mirrored, places)
    return places.flatten(2).transpose(1, 2), (known > 0.99).float() * known * inside


def coordinates_at_tokens(
    knowledge: Knowledge, view: View, names: PartNames, features: Features
) -> tuple[Float[Tensor, "batch tokens 2"], Float[Tensor, "batch tokens"]]:
    """Return `coordinates_in_view` of the tokens that are there; of images that are not guided nothing is known."""
    places, known = coordinates_in_view(knowledge, view, names, features.grid)
    places = features.at_tokens(places.transpose(1, 2)).transpose(1, 2)
    return places, features.at_tokens(known[:, None])[:, 0] * knowledge.guided[:, None]


def cell_shares(places: Float[Tensor, "batch tokens 2"], cells: int) -> Float[Tensor, "batch tokens regions"]:
    """Return how much of each token belongs to each of `cells` x `cells` regions of the template, row by row.

    Shares fall off linearly from a region's centre to its neighbours' (as in bilinear interpolation), so that a place
    that is a little wrong changes them a little; those of a place inside the template sum to 1.
    """
    centres = torch.arange(cells, device=places.device, dtype=places.dtype)
    scaled = (places * cells - 0.5).clamp(0, cells - 1)
    across, down = ((1 - (scaled[..., axis, None] - centres).abs()).clamp_min(0) for axis in (0, 1))
    return (down[..., :, None] * across[..., None, :]).flatten(2)
