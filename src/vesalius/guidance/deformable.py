"""One exemplar carried to every image by registration (MeDINO, Miao 2022, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import KnowledgeError
from vesalius.guidance.carried_parts import carry, focus_on, quality_of
from vesalius.guidance.exemplar import Exemplar
from vesalius.guidance.templates import Template, TemplateMaps, paired_by_name
from vesalius.registration.deformation import Deformation, warp
from vesalius.registration.interface import Registration

__all__ = ["DeformableTemplate"]


class DeformableTemplate(Template):
    """Registers exemplars to each image, affine then B-spline, and carries their parts along.

    With several exemplars each image takes the parts of the one it matches best, or the vote of all; its coordinates
    are always those in the first. Exemplars without a mask give coordinates alone, for which no label is needed.
    """

    name = "deformable"
    has_coordinates = True

    def __init__(
        self,
        exemplars: Sequence[Exemplar],
        registration: Registration,
        *,
        combine: Literal["best", "vote"] = "best",
        map_size: int = 64,
    ) -> None:
        """Join exemplars and registration.

        Raises:
            KnowledgeError: No exemplar, several without masks, or exemplars of different parts.
        """
        if not exemplars:
            raise KnowledgeError(
                "the deformable template needs an exemplar: --exemplar IMAGE, with --mask MASK for parts"
            )
        if len(exemplars) > 1 and not exemplars[0].names:
            raise KnowledgeError(
                f"{len(exemplars)} exemplars without masks: places are those in the first, so that the others would "
                "give nothing; give one, or their masks"
            )
        if len({one.names for one in exemplars}) > 1:
            raise KnowledgeError(
                "the exemplars have different parts: " + "; ".join(f"{e.name}: {', '.join(e.names)}" for e in exemplars)
            )
        self.exemplars, self.registration = tuple(exemplars), registration
        self.combine, self.map_size = combine, map_size
        self.parts = paired_by_name(exemplars[0].names)

    def maps(self, images: Float[Tensor, "batch 1 height width"]) -> TemplateMaps:
        """Register the images and carry the parts to them."""
        found = [
            self.registration.register(images, one.image.to(images), focus_on(one.parts.to(images)))
            for one in self.exemplars
        ]
        moved = torch.stack(
            [warp(one.parts.to(images), each.coordinates) for one, each in zip(self.exemplars, found, strict=True)]
        )
        parts = self._combined(moved, found)
        maps = carry(self.exemplars[0].parts.to(images), found[0], map_size=self.map_size, moved=parts)
        # An image is judged by the exemplar that it matches best, whose parts it takes unless they are voted for.
        best = torch.stack([each.similarity for each in found]).argmax(0)
        own = [
            quality_of(one.parts.to(images), each, its)
            for one, each, its in zip(self.exemplars, found, moved, strict=True)
        ]
        places = torch.arange(len(images), device=images.device)
        quality = {name: torch.stack([one[name] for one in own])[best, places] for name in own[0]}
        return replace(maps, quality=quality)

    def still(self) -> Float[Tensor, "parts rows columns"] | None:
        """Return the first exemplar's parts."""
        return self.exemplars[0].parts[0] if self.parts.names else None

    def picture(self) -> Float[Tensor, "1 1 rows columns"]:
        """Return the first exemplar."""
        return self.exemplars[0].image

    def description(self) -> dict[str, Any]:
        """Tell exemplars and registration."""
        return {
            "template": self.name,
            "map_size": self.map_size,
            "exemplars": [one.description() for one in self.exemplars],
            "parts": list(self.parts.names),
            "combine": self.combine,
            "registration": self.registration.description(),
        }

    def _combined(self, moved: Tensor, found: Sequence[Deformation]) -> Tensor:
        if self.combine == "vote" or len(found) == 1:
            return moved.mean(0)
        best = torch.stack([each.similarity for each in found]).argmax(0)
        return moved[best, torch.arange(moved.shape[1], device=moved.device)]
