"""A mean image of the store itself as the template: places without any label, and parts from exemplars put into it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.data.gray import gray_pixels
from vesalius.data.store import Store
from vesalius.errors import KnowledgeError
from vesalius.guidance.carried_parts import carry, focus_on
from vesalius.guidance.exemplar import Exemplar
from vesalius.guidance.templates import Template, TemplateMaps, paired_by_name
from vesalius.registration.atlas import build_atlas
from vesalius.registration.batched import BatchedOptions, BatchedRegistration, Level
from vesalius.registration.deformation import invert, warp
from vesalius.registration.interface import Registration

__all__ = ["AtlasTemplate", "atlas_of_store"]

IMAGES = 200
"""How many images of a store make its atlas."""


class AtlasTemplate(Template):
    """Registers every image to one mean image; exemplars, if any, are registered to it once and vote for its parts.

    A mean has neither noise nor one patient's oddities, so images match it better than they match each other, and
    several exemplars cost no more than one.
    """

    name = "atlas"
    has_coordinates = True

    def __init__(
        self,
        image: Float[Tensor, "1 1 rows columns"],
        registration: Registration,
        exemplars: Sequence[Exemplar] = (),
        *,
        map_size: int = 64,
    ) -> None:
        """Put the exemplars into the atlas.

        Raises:
            KnowledgeError: Exemplars of different parts.
        """
        if len({one.names for one in exemplars}) > 1:
            raise KnowledgeError(
                "the exemplars have different parts: " + "; ".join(f"{e.name}: {', '.join(e.names)}" for e in exemplars)
            )
        self.image, self.registration, self.map_size = image, registration, map_size
        self.exemplars = tuple(exemplars)
        self.parts = paired_by_name(exemplars[0].names if exemplars else ())
        size = (image.shape[2], image.shape[3])
        self.own_parts = image.new_zeros(1, len(self.parts.names), *size)
        for one in exemplars:
            places = registration.register(one.image, image).coordinates
            self.own_parts = self.own_parts + warp(one.parts, invert(places, size)) / len(exemplars)

    def maps(self, images: Float[Tensor, "batch 1 height width"]) -> TemplateMaps:
        """Register the images and carry the parts to them."""
        parts = self.own_parts.to(images)
        found = self.registration.register(images, self.image.to(images), focus_on(parts))
        return carry(parts, found, map_size=self.map_size)

    def still(self) -> Float[Tensor, "parts rows columns"] | None:
        """Return the parts as the atlas has them."""
        return self.own_parts[0] if self.parts.names else None

    def picture(self) -> Float[Tensor, "1 1 rows columns"]:
        """Return the atlas."""
        return self.image

    def description(self) -> dict[str, Any]:
        """Tell atlas, exemplars and registration."""
        pixels = (self.image * 65535).round().to(torch.int32).cpu().numpy()
        return {
            "template": self.name,
            "map_size": self.map_size,
            "atlas_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "exemplars": [one.description() for one in self.exemplars],
            "parts": list(self.parts.names),
            "registration": self.registration.description(),
        }


def atlas_of_store(store: Store, *, images: int = IMAGES) -> Float[Tensor, "1 1 size size"]:
    """Build an atlas from images spread evenly over a store; about a minute on two cores, the same every time."""
    rows = np.unique(np.linspace(0, len(store) - 1, min(images, len(store))).astype(np.int64))
    gray = gray_pixels(store.images[rows])
    flat = gray.flatten(1)
    gray = gray[flat.amax(1) > flat.amin(1)]
    coarse = BatchedRegistration(BatchedOptions(levels=()))
    middle = BatchedRegistration(BatchedOptions(levels=(Level(spacing=1 / 8),)))
    # To 16 bits, as it is written: an atlas that was read again makes the very same maps.
    return (build_atlas(gray, [coarse, middle, BatchedRegistration()]) * 65535).round() / 65535
