"""What is known of the parts of one image: knowledge maps, or the masks of a labelled store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.data.knowledge_maps import KnowledgeMaps
from vesalius.data.masks import VOID
from vesalius.data.source_image import SourceImage
from vesalius.data.store import Store

__all__ = ["PartMaps", "find_row", "of_maps", "of_masks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartMaps:
    """Where the parts lie in the square that a store holds of an image, at any resolution.

    Attributes:
        caption: For pictures: the template's name, or `masks`.
        names: The parts.
        values: One map a part, in [0, 1].
        guided: Whether the image is guided by them; masks always count.
        digest: Of the knowledge maps; empty for masks.
    """

    caption: str
    names: tuple[str, ...]
    values: Float[Tensor, "parts rows columns"]
    guided: bool = True
    digest: str = ""

    def part(self, name: str) -> Float[Tensor, "rows columns"] | None:
        """Return one part's map, or None where it is not among them."""
        return self.values[self.names.index(name)] if name in self.names else None


def find_row(store: Store, source: SourceImage) -> int | None:
    """Find the row of a store that this very file and frame became, or None."""
    same = (store.manifest["sha256"] == source.sha256) & (store.manifest["frame"] == source.frame)
    rows = np.flatnonzero(same.to_numpy(dtype=bool))
    return int(rows[0]) if len(rows) else None


def of_maps(maps: KnowledgeMaps, row: int) -> PartMaps:
    """Return the parts of one row of knowledge maps.

    Raises:
        KnowledgeError: The maps have places but no parts.
    """
    values = torch.from_numpy(np.asarray(maps.parts[row], dtype=np.float32) / 255)
    return PartMaps(
        caption=maps.path.name,
        names=maps.names.names,
        values=values,
        guided=bool(maps.guided[row]),
        digest=maps.digest,
    )


def of_masks(store: Store, row: int, *, order: Sequence[str] = ()) -> PartMaps | None:
    """Return the masks of one row of a store, the parts of `order` first, so that colours agree; None without masks."""
    if not store.has("masks") or not bool(store.manifest["has_masks"].iloc[row]):
        return None
    labels = torch.from_numpy(np.asarray(store.masks[row]).astype(np.int64))
    names_of = store.info["arrays"]["masks"]["parts"]
    value_of = {name: value for value, name in enumerate(names_of) if value > 0 and name != VOID}
    names = (*(name for name in order if name in value_of), *(name for name in value_of if name not in order))
    values = torch.stack([labels == value_of[name] for name in names]).float()
    return PartMaps(caption="masks", names=names, values=values)
