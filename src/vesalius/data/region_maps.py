"""Regions of the images of a pool, as label maps: superpixels, or the parts of knowledge maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from vesalius.data.batches import ImagePool
from vesalius.data.knowledge_maps import KnowledgeMaps, labelled_by
from vesalius.data.knowledge_pool import maps_of_stores
from vesalius.data.sharded_array import ShardedArray
from vesalius.errors import KnowledgeError

__all__ = ["RegionPool", "labels_of_parts", "open_regions"]


class RegionPool:
    """The regions of an image pool, addressed as its images are."""

    def __init__(self, pool: ImagePool, maps: Sequence[KnowledgeMaps]) -> None:
        """Join one set of maps a store.

        Raises:
            KnowledgeError: The maps have neither regions nor parts, or differ in their kind or size.
        """
        kinds = {(one.has_regions, one.names.names, one.known.shape[2:]) for one in maps}
        if len(kinds) != 1:
            found = "; ".join(f"{one.path}: {one.info['template']}, {one.known.shape[2]} px" for one in maps)
            raise KnowledgeError(f"regions of one kind and size are needed to train on them together, got {found}")
        self.pool, self.maps = pool, tuple(maps)
        self._labelled = maps[0].has_regions
        self._arrays: list[ShardedArray] = [one.regions if self._labelled else one.parts for one in maps]

    def description(self) -> dict[str, Any]:
        """Tell for run.json which maps these are; maps of another digest are other maps."""
        return {
            "template": self.maps[0].info["template"],
            "digests": [one.digest for one in self.maps],
            "labelled": labelled_by(self.maps),
        }

    def gather(self, indices: Int[np.ndarray, "batch"]) -> Integer[Tensor, "batch rows columns"]:
        """Read the regions of some images, uint8."""
        read = torch.from_numpy(self.pool.gather_rows(self._arrays, indices))
        return read[:, 0] if self._labelled else labels_of_parts(read)


def labels_of_parts(parts: Integer[Tensor, "batch parts rows columns"]) -> Integer[Tensor, "batch rows columns"]:
    """Return the part that holds most of each pixel, counted from 1; 0 where half of it or more belongs to none."""
    share, part = parts.max(dim=1)
    return torch.where(share > 127, part + 1, 0).to(torch.uint8)


def open_regions(pool: ImagePool, name: str, folders: Sequence[str | Path] = ()) -> RegionPool:
    """Open the regions of every store of a pool.

    Args:
        pool: The images.
        name: Of each store's own maps, where no folder is named.
        folders: Folders of maps, in any order: each store takes those made for it.

    Raises:
        KnowledgeError: A store has no such maps, or see `RegionPool`.
    """
    return RegionPool(pool, maps_of_stores(pool, name, folders))
