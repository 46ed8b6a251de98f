"""The contract of a template: images in, knowledge maps out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Integer
from torch import Tensor

from vesalius.records.knowledge import PartNames, is_sided

__all__ = ["Template", "TemplateMaps", "paired_by_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateMaps:
    """Maps of a batch of images; see `vesalius.records.knowledge.Knowledge`, here in [0, 1] and shares.

    Attributes:
        parts: `[batch, parts, size, size]`.
        coordinates: `[batch, 2, size, size]`, or None for a template without places.
        known: `[batch, 1, size, size]`, 1 where the coordinates can be trusted.
        quality: One figure an image by name, for `quality.parquet`.
        regions: `[batch, 1, size, size]` uint8 labels, or None for a template that cuts images into no regions.
    """

    parts: Float[Tensor, "batch parts size size"]
    coordinates: Float[Tensor, "batch 2 size size"] | None
    known: Float[Tensor, "batch 1 size size"]
    quality: Mapping[str, Float[Tensor, "batch"]] = field(default_factory=dict)
    regions: Integer[Tensor, "batch 1 size size"] | None = None


class Template(ABC):
    """Something that knows, of any image of its kind, where the parts are; sent to worker processes as it is.

    Attributes:
        name: Word for `vesalius guide --template`.
        parts: Names and pairs.
        has_coordinates: Whether pixels have a place in it.
        has_regions: Whether it cuts images into regions.
        in_colour: Whether it looks at the three channels of a colour store; others get gray.
        map_size: Side of the maps in pixels.
    """

    name: str
    parts: PartNames
    has_coordinates: bool
    map_size: int
    has_regions: bool = False
    in_colour: bool = False

    @abstractmethod
    def maps(self, images: Float[Tensor, "batch channels height width"]) -> TemplateMaps:
        """Make the maps of some images, values in [0, 1]."""

    def still(self) -> Float[Tensor, "parts rows columns"] | None:
        """Return where the template itself has the parts, in [0, 1]; None where it is no image."""
        return None

    def picture(self) -> Float[Tensor, "1 1 rows columns"] | None:
        """Return the image that coordinates are places in, in [0, 1]; None where there is none."""
        return None

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Tell everything that shapes the maps, in plain types: two templates that tell the same make the same maps."""


def paired_by_name(names: tuple[str, ...]) -> PartNames:
    """Pair `left_x` with `right_x` wherever both are there and a mirroring makes one the other."""
    pairs = [
        (place, names.index("right_" + name.removeprefix("left_")))
        for place, name in enumerate(names)
        if name.startswith("left_") and is_sided(name) and "right_" + name.removeprefix("left_") in names
    ]
    return PartNames(names, tuple(pairs))
