"""Regions of images: how a view sees them, what features have in them, and how features join them to larger ones."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from vesalius.distributed import all_reduce_max, gather_rows, own_rows
from vesalius.methods.kmeans import kmeans
from vesalius.records.view import View
from vesalius.views.geometry import map_to_view

__all__ = ["ClusteredOver", "mask_pool", "refine_regions", "shares_in_view"]

ClusteredOver = Literal["batch", "process", "image"]
"""Which images are clustered together: all of the batch, those of each process, or every image by itself."""

_SAMPLES = 8


def shares_in_view(
    regions: Integer[Tensor, "batch rows columns"], view: View, grid: tuple[int, int], *, count: int
) -> Float[Tensor, "batch count cells"]:
    """Return how much of each cell of a view's grid belongs to each region, in [0, 1], from 64 points a cell.

    Regions are carried by the view's own geometry, so that crops, turns and flips move them with the pixels; what lies
    outside the image belongs to none. Labels are looked up, never interpolated.

    Args:
        regions: Labels below `count` of the whole image, at any resolution.
        view: The view to follow.
        grid: (rows, columns) of cells, those of a feature map.
        count: Number of labels.
    """
    rows, columns = grid
    points = map_to_view(regions[:, None].long() + 1, view, size=(rows * _SAMPLES, columns * _SAMPLES), mode="nearest")
    labels = (
        points.view(-1, rows, _SAMPLES, columns, _SAMPLES).transpose(2, 3).reshape(len(regions), rows * columns, -1)
    )
    shares = torch.zeros(*labels.shape[:2], count + 1, device=labels.device)
    shares.scatter_add_(2, labels, torch.full_like(labels, 1, dtype=shares.dtype))
    return shares[..., 1:].transpose(1, 2) / _SAMPLES**2


def mask_pool(
    features: Float[Tensor, "batch cells dim"], shares: Float[Tensor, "batch regions cells"]
) -> Float[Tensor, "batch regions dim"]:
    """Return each region's mean feature (Gokul 2022, equation 2.1), with a divisor of one cell at least.

    So a region of less than a cell, whose features are mostly its surroundings', speaks softly.
    """
    shares = shares.to(features.dtype)
    return shares @ features / shares.sum(dim=2, keepdim=True).clamp_min(1)


@torch.no_grad()
def refine_regions(
    features: Float[Tensor, "batch dim height width"],
    prior: Integer[Tensor, "batch rows columns"],
    whole: View,
    *,
    clusters: int,
    over: ClusteredOver,
    generator: torch.Generator,
) -> Integer[Tensor, "batch rows columns"]:
    """Join the regions of a prior mask that features find alike (Gokul 2022, section 2.2); labels below `clusters`.

    The features of every region are averaged and normalised, the averages clustered by k-means, and each pixel takes
    its region's cluster.

    Args:
        features: Of `whole`.
        prior: Labels of the whole images, for example superpixels.
        whole: The view that the features were computed of.
        clusters: How many.
        over: Which images are clustered together; `batch` alone asks the other processes.
        generator: On the CPU, the same in every process.
    """
    everywhere, largest = over == "batch", prior.max().long()
    count = int(all_reduce_max(largest) if everywhere else largest) + 1
    shares = shares_in_view(prior, whole, (features.shape[2], features.shape[3]), count=count)
    with torch.autocast(features.device.type, enabled=False):  # as in `kmeans`
        vectors = functional.normalize(shares @ features.float().flatten(2).transpose(1, 2), dim=-1)
    present = shares.sum(dim=2) > 0
    if over == "image":
        joined = kmeans(vectors, present, clusters, generator)
    else:
        rows = gather_rows(vectors) if everywhere else vectors
        there = gather_rows(present) if everywhere else present
        joined = kmeans(rows.flatten(0, 1)[None], there.flatten()[None], clusters, generator).view(len(rows), count)
        joined = joined[own_rows(len(prior), joined.device)] if everywhere else joined
    return joined.gather(1, prior.flatten(1).long()).view_as(prior)
