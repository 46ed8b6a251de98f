"""Regions of images: how a view sees them, what features have in them, and how features join them to larger ones."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor
from torch.nn import functional

from vesalius.distributed import all_reduce_max, gather_rows, own_rows
from vesalius.errors import ConfigError
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
    images: int | None = None,
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
        images: How many of them are, in place of `over`: with g such groups in the batch of all processes, every g-th
            image, so that the groups are the same on any number of processes, each within one.
        generator: On the CPU, the same in every process.

    Raises:
        ConfigError: A process's images do not make whole groups.
    """
    if images is not None and len(prior) % images:
        raise ConfigError(
            f"method.cluster_images = {images} does not divide the {len(prior)} images of a process: change it, "
            "training.batch_size or the number of devices"
        )
    everywhere, largest = over == "batch" and images is None, prior.max().long()
    count = int(all_reduce_max(largest) if everywhere else largest) + 1
    shares = shares_in_view(prior, whole, (features.shape[2], features.shape[3]), count=count)
    with torch.autocast(features.device.type, enabled=False):  # as in `kmeans`
        vectors = functional.normalize(shares @ features.float().flatten(2).transpose(1, 2), dim=-1)
    present = shares.sum(dim=2) > 0
    if images is not None or over == "image":
        together = images or 1
        joined = _kmeans_of_groups(vectors, present, len(prior) // together, clusters, generator)
    else:
        rows = gather_rows(vectors) if everywhere else vectors
        there = gather_rows(present) if everywhere else present
        joined = kmeans(rows.flatten(0, 1)[None], there.flatten()[None], clusters, generator).view(len(rows), count)
        joined = joined[own_rows(len(prior), joined.device)] if everywhere else joined
    return joined.gather(1, prior.flatten(1).long()).view_as(prior)


def _kmeans_of_groups(
    vectors: Float[Tensor, "batch count dim"],
    present: Bool[Tensor, "batch count"],
    groups: int,
    clusters: int,
    generator: torch.Generator,
) -> Int[Tensor, "batch count"]:
    """Cluster every group of images by itself: of `groups` it holds every image that lies as many rows further."""
    rows = vectors.view(-1, groups, *vectors.shape[1:]).transpose(0, 1).flatten(1, 2)
    there = present.view(-1, groups, present.shape[1]).transpose(0, 1).flatten(1, 2)
    found = kmeans(rows, there, clusters, generator, own=True)
    return found.view(groups, -1, vectors.shape[1]).transpose(0, 1).flatten(0, 1)
