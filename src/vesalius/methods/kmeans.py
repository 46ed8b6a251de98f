"""k-means of many vectors at once, of one set or of several side by side, on any device."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.distributed import own_rows, world_size

__all__ = ["kmeans"]


@torch.no_grad()
def kmeans(
    vectors: Float[Tensor, "sets count dim"],
    present: Bool[Tensor, "sets count"],
    clusters: int,
    generator: torch.Generator,
    *,
    rounds: int = 10,
    own: bool = False,
) -> Int[Tensor, "sets count"]:
    """Return the cluster of every vector: Lloyd's algorithm from k-means++ (Arthur & Vassilvitskii 2007).

    Args:
        vectors: Each set is clustered by itself.
        present: Vectors that are there; the others join the nearest cluster and move none.
        clusters: How many a set; some stay empty where a set has fewer different vectors.
        generator: On the CPU; the only source of randomness, so that every device draws alike.
        rounds: Of Lloyd's algorithm; it ends before where nothing moves.
        own: Whether the sets are this process's rows of those of all processes, and drawn for as a single one would.
    """
    # Autocast would multiply in bf16, which cannot tell centres apart where all vectors are alike.
    with torch.autocast(vectors.device.type, enabled=False):
        draws = _draws(len(vectors), clusters, generator, own=own).to(vectors.device)
        return _lloyd(vectors.float(), present.float(), clusters, draws, rounds)


def _draws(sets: int, clusters: int, generator: torch.Generator, *, own: bool) -> Float[Tensor, "clusters sets 1"]:
    if not own:
        return torch.rand(clusters, sets, 1, generator=generator, dtype=torch.float64)
    return torch.rand(clusters, sets * world_size(), 1, generator=generator, dtype=torch.float64)[:, own_rows(sets)]


def _lloyd(
    vectors: Float[Tensor, "sets count dim"],
    weight: Float[Tensor, "sets count"],
    clusters: int,
    draws: Float[Tensor, "clusters sets 1"],
    rounds: int,
) -> Int[Tensor, "sets count"]:
    centres = _spread_out(vectors, weight.double(), draws)
    assigned = _nearest(vectors, centres)
    for _ in range(rounds):
        members = torch.nn.functional.one_hot(assigned, clusters).to(vectors.dtype) * weight[..., None]
        sizes = members.sum(dim=1)[..., None]
        centres = torch.where(sizes > 0, members.transpose(1, 2) @ vectors / sizes.clamp_min(1), centres)
        moved = _nearest(vectors, centres)
        if bool((moved == assigned).all()):
            break
        assigned = moved
    return assigned


def _spread_out(
    vectors: Float[Tensor, "sets count dim"],
    weight: Float[Tensor, "sets count"],
    draws: Float[Tensor, "clusters sets 1"],
) -> Float[Tensor, "sets clusters dim"]:
    """Draw the first centre from all vectors, each further one in proportion to the squared distance from those drawn.

    Where nothing is left to draw (fewer vectors than clusters) the last vector is drawn again.
    """
    every = torch.arange(len(vectors), device=vectors.device)
    distance = torch.ones_like(weight)
    chosen: list[Tensor] = []
    for draw in draws:
        up_to = (distance * weight).cumsum(dim=1)
        place = torch.searchsorted(up_to, draw * up_to[:, -1:], right=True)[:, 0].clamp_max(vectors.shape[1] - 1)
        centre = vectors[every, place]
        from_it = (vectors - centre[:, None]).square().sum(dim=2).double()
        distance = from_it if not chosen else torch.minimum(distance, from_it)
        chosen.append(centre)
    return torch.stack(chosen, dim=1)


def _nearest(
    vectors: Float[Tensor, "sets count dim"], centres: Float[Tensor, "sets clusters dim"]
) -> Int[Tensor, "sets count"]:
    # |x|^2 is the same for every centre.
    return torch.baddbmm(centres.square().sum(dim=2)[:, None], vectors, centres.transpose(1, 2), alpha=-2).argmin(dim=2)
