"""What is known of the anatomy of a batch of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Integer, Shaped
from torch import Tensor

__all__ = ["Knowledge", "PartNames", "TrainingBatch", "is_sided"]

_BY_LOOKS = ("ventricle", "atrium")


def is_sided(part: str) -> bool:
    """Say whether a part is told from its counterpart by the side it lies on, so that a mirroring makes it the other.

    Chambers of the heart are told by their looks: a mirrored heart's left ventricle is still the left one.
    """
    return part.startswith(("left_", "right_")) and not part.endswith(_BY_LOOKS)


@dataclass(frozen=True, slots=True)
class PartNames:
    """The parts of a set of knowledge maps, in the order of their channels.

    Attributes:
        names: For example `("left_lung", "right_lung", "heart")`; sides are the patient's.
        pairs: Channels that change places when an image is mirrored, for example `((0, 1),)`.
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def mirrored(self) -> list[int]:
        """Which channel stands at each place after a mirroring."""
        order = list(range(len(self.names)))
        for one, other in self.pairs:
            order[one], order[other] = other, one
        return order


class Knowledge(NamedTuple):
    """Knowledge maps of a batch, as stored; each covers the whole image whatever its resolution.

    Attributes:
        parts: `[batch, parts, rows, columns]` uint8, 255 where a pixel surely belongs to the part.
        coordinates: `[batch, 2, rows, columns]` float16, where each pixel lies in the template (shares of its width and
            height); no channels (`[batch, 0, rows, columns]`) where the maps have no template.
        known: `[batch, 1, rows, columns]` uint8, 255 where the coordinates can be trusted (no fold, not far
            outside of the template).
        guided: `[batch]`, False for images whose maps are not good enough to guide by.
    """

    parts: Shaped[Tensor, "batch parts rows columns"]
    coordinates: Shaped[Tensor, "batch axes rows columns"]
    known: Shaped[Tensor, "batch 1 rows columns"]
    guided: Bool[Tensor, "batch"]


class TrainingBatch(NamedTuple):
    """What one training step reads.

    Attributes:
        images: `[batch, channels, height, width]`, uint8 as stored, 16-bit ones as float in [0, 1].
        knowledge: Of the same images, or None.
        regions: `[batch, rows, columns]` uint8, labels of the same images' regions, or None.
    """

    images: Shaped[Tensor, "batch channels height width"]
    knowledge: Knowledge | None = None
    regions: Integer[Tensor, "batch rows columns"] | None = None
