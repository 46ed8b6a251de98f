"""The knowledge maps of a pool of images, read together with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from vesalius.data.batches import ImagePool
from vesalius.data.knowledge_maps import ADVICE, TEMPLATE_FILE, KnowledgeMaps, find_maps, labelled_by, open_maps
from vesalius.errors import KnowledgeError
from vesalius.records.knowledge import Knowledge

__all__ = ["KnowledgePool", "maps_of_stores", "open_knowledge"]


class KnowledgePool:
    """The maps of an image pool, addressed as its images are."""

    def __init__(self, pool: ImagePool, maps: Sequence[KnowledgeMaps], *, coordinates: bool) -> None:
        """Join one set of maps a store.

        Args:
            pool: The images.
            maps: One a part of the pool.
            coordinates: Whether they are read.

        Raises:
            KnowledgeError: The maps differ in their parts or their size, or have no coordinates.
        """
        shapes = {(one.names, one.known.shape[2:]) for one in maps}
        if len(shapes) != 1:
            found = "; ".join(f"{one.path}: {', '.join(one.names.names)}, {one.known.shape[2]} px" for one in maps)
            raise KnowledgeError(f"maps of the same parts and size are needed to train on them together, got {found}")
        if coordinates and len({json.dumps(one.frame, sort_keys=True) for one in maps}) != 1:
            raise KnowledgeError(
                "the stores' coordinates are places in different templates: "
                f"{'; '.join(str(one.path) for one in maps)}. Guide all stores by one exemplar, or by one atlas "
                "(--atlas MAPS of the first)"
            )
        self.pool, self.names, self.maps = pool, maps[0].names, tuple(maps)
        self._parts = [one.parts for one in maps] if self.names.names else None
        self._known = [one.known for one in maps]
        self._coordinates = [one.coordinates for one in maps] if coordinates else None
        self._guided = np.concatenate([one.guided[rows] for one, (_, rows) in zip(maps, pool.parts, strict=True)])

    @property
    def template_side(self) -> int:
        """Side of the template in pixels; 1 where the maps have none, so that a share of it stays a share."""
        path = self.maps[0].path / TEMPLATE_FILE
        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[1]) if path.is_file() else 1

    @property
    def guided(self) -> int:
        """How many images are guided."""
        return int(self._guided.sum())

    def description(self) -> dict[str, Any]:
        """Tell for run.json which maps these are; maps of another digest are other maps."""
        return {
            "template": self.maps[0].info["template"],
            "parts": list(self.names.names),
            "guided_images": self.guided,
            "digests": [one.digest for one in self.maps],
            "labelled": labelled_by(self.maps),
        }

    def gather(self, indices: Int[np.ndarray, "batch"]) -> Knowledge:
        """Read the maps of some images."""
        known = torch.from_numpy(self.pool.gather_rows(self._known, indices))
        nothing = known.new_empty((len(known), 0, *known.shape[2:]))
        parts, coordinates = (
            nothing if arrays is None else torch.from_numpy(self.pool.gather_rows(arrays, indices))
            for arrays in (self._parts, self._coordinates)
        )
        return Knowledge(parts, coordinates, known, torch.from_numpy(self._guided[indices]))


def open_knowledge(
    pool: ImagePool, name: str, folders: Sequence[str | Path] = (), *, coordinates: bool
) -> KnowledgePool:
    """Open the maps of every store of a pool.

    Args:
        pool: The images.
        name: Of each store's own maps, where no folder is named.
        folders: Folders of maps, in any order: each store takes those made for it.
        coordinates: Whether coordinates will be read.

    Raises:
        KnowledgeError: A store has no maps, or see `KnowledgePool`.
    """
    return KnowledgePool(pool, maps_of_stores(pool, name, folders), coordinates=coordinates)


def maps_of_stores(pool: ImagePool, name: str, folders: Sequence[str | Path] = ()) -> list[KnowledgeMaps]:
    """Find the maps of every store of a pool; see `open_knowledge`."""
    given = {str(maps.info["store"]["fingerprint"]): maps for maps in (open_maps(folder) for folder in folders)}
    found = []
    for store, _ in pool.parts:
        if given and store.fingerprint not in given:
            there = "; ".join(f"{maps.path} for '{maps.info['store']['name']}'" for maps in given.values())
            raise KnowledgeError(f"{store.path}: none of the maps given is made for it ({there}); {ADVICE}")
        found.append(given[store.fingerprint] if given else find_maps(store, name))
    return found
