"""A mean image built from the images themselves: register to the mean, average, take out the mean's own deformation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import RegistrationError
from vesalius.registration.deformation import identity, invert, warp
from vesalius.registration.equalise import equalise
from vesalius.registration.interface import Registration

__all__ = ["build_atlas", "compose"]

_ALIKE = 0.5
"""Share of the images, the most alike to the atlas, that the next one is averaged from."""


def build_atlas(
    images: Float[Tensor, "images 1 height width"],
    registrations: Sequence[Registration],
    *,
    chunk: int = 64,
) -> Float[Tensor, "1 1 height width"]:
    """Build an unbiased mean image, one round a registration (Guimond 2000).

    Each round registers every image to the atlas, averages the images in the atlas' frame, and then moves the average
    by the mean of the deformations, so that neither its shape nor its place is that of the image it began with.

    Args:
        images: A few hundred are enough; values in [0, 1].
        registrations: One a round, from coarse to fine.
        chunk: Images registered together.

    Returns:
        The atlas, equalised.

    Raises:
        RegistrationError: Fewer than two images.
    """
    if len(images) < 2:
        raise RegistrationError(f"{len(images)} images make no atlas; give at least two, better a hundred")
    even = equalise(images)
    atlas = even[_middle(even)][None]
    for registration in registrations:
        found = [registration.register(part, atlas) for part in torch.split(images, chunk)]
        similarity = torch.cat([one.similarity for one in found])
        kept = similarity.argsort(descending=True)[: max(2, int(_ALIKE * len(images)))]
        places = torch.cat([one.coordinates for one in found])[kept]
        back = torch.cat([invert(part, (atlas.shape[2], atlas.shape[3])) for part in torch.split(places, chunk)])
        pairs = zip(torch.split(even[kept], chunk), torch.split(back, chunk), strict=True)
        mean = torch.cat([warp(image, place) for image, place in pairs]).mean(0)
        centre = back.mean(0, keepdim=True)
        atlas = equalise(warp(mean[None], invert(centre, (atlas.shape[2], atlas.shape[3]))))
    return atlas


def _middle(images: Float[Tensor, "images 1 height width"]) -> int:
    """Return the image nearest to the plain mean: the one to begin with."""
    flat = images.flatten(1)
    return int(((flat - flat.mean(0)) ** 2).sum(1).argmin())


def compose(
    outer: Float[Tensor, "batch 2 rows columns"], inner: Float[Tensor, "batch 2 height width"]
) -> Float[Tensor, "batch 2 height width"]:
    """Return where the pixels that `inner` places in the atlas lie where `outer` places the atlas' pixels."""
    own = identity(*outer.shape[2:], device=outer.device)
    return inner + warp(outer - own, inner)
