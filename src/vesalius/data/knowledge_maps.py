"""Knowledge maps on disk: for every image of a store, where its parts lie and where its pixels lie in a template."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.data.array_entries import check_file_names, check_sizes, open_array, shard_files
from vesalius.data.batches import ImagePool
from vesalius.data.sharded_array import ShardedArray
from vesalius.data.store import JOURNAL, Store
from vesalius.errors import KnowledgeError
from vesalius.records.knowledge import Knowledge, PartNames

__all__ = ["MAPS_SCHEMA", "KnowledgeMaps", "KnowledgePool", "find_maps", "open_knowledge", "open_maps", "read_atlas"]

TEMPLATE_FILE = "template.npy"
"""The image that coordinates are places in, `[rows, columns]` uint16; another store can be guided by it."""

PARTS_FILE = "template_parts.npy"
"""Where the template itself has the parts, `[parts, rows, columns]` uint8."""

MAPS_SCHEMA = 1
"""Version of the layout; maps of another version are refused."""

_ADVICE = "run `vesalius guide` again"


@dataclass(frozen=True)
class KnowledgeMaps:
    """Maps of one store, row i describing row i of the store's images; see `Knowledge` for the arrays.

    Attributes:
        path: Their folder.
        info: What `maps.json` says: template, parts, pairs, store, options, arrays, counts.
    """

    path: Path
    info: Mapping[str, Any]

    def __len__(self) -> int:
        return int(self.info["store"]["images"])

    @property
    def names(self) -> PartNames:
        """The parts, in the order of their channels."""
        pairs = tuple((int(one), int(other)) for one, other in self.info["pairs"])
        return PartNames(tuple(self.info["parts"]), pairs)

    @property
    def has_coordinates(self) -> bool:
        """Whether the maps come from a template that pixels have a place in."""
        return "coordinates" in self.info["arrays"]

    @property
    def frame(self) -> dict[str, Any]:
        """What decides the template that coordinates are places in; two sets of maps of one frame agree on places."""
        plan = self.info["plan"]
        return {key: plan.get(key) for key in ("template", "atlas_sha256")} | {
            "exemplar": None if plan.get("atlas_sha256") else (plan.get("exemplars") or [None])[0]
        }

    @property
    def labelled(self) -> dict[str, Any]:
        """Whose labels made these maps: `images` (sha256 of the exemplars' files), `store` (fingerprint, or None)."""
        plan = self.info["plan"]
        store = plan.get("segmenter", {}).get("trained_on", {}).get("fingerprint")
        images = [one["image_sha256"] for one in plan.get("exemplars") or () if "image_sha256" in one]
        return {"images": images, "store": store}

    @property
    def digest(self) -> str:
        """64 hex digits that change when any map does."""
        shards = [shard["sha256"] for array in self.info["arrays"].values() for shard in array["shards"]]
        return hashlib.sha256(json.dumps(sorted(shards)).encode()).hexdigest()

    @cached_property
    def parts(self) -> ShardedArray:
        """`[rows, parts, size, size]` uint8.

        Raises:
            KnowledgeError: The maps have none.
        """
        if "parts" not in self.info["arrays"]:
            raise KnowledgeError(f"{self.path}: has places but no parts; guide with --exemplar IMAGE --mask MASK")
        return open_array(self.path, self.info["arrays"]["parts"])

    @cached_property
    def coordinates(self) -> ShardedArray:
        """`[rows, 2, size, size]` float16.

        Raises:
            KnowledgeError: The maps have none.
        """
        if not self.has_coordinates:
            raise KnowledgeError(
                f"{self.path}: template '{self.info['template']}' gives no coordinates; use maps of `deformable`"
            )
        return open_array(self.path, self.info["arrays"]["coordinates"])

    @cached_property
    def known(self) -> ShardedArray:
        """`[rows, 1, size, size]` uint8."""
        return open_array(self.path, self.info["arrays"]["known"])

    @cached_property
    def still(self) -> npt.NDArray[np.uint8] | None:
        """`[parts, rows, columns]` uint8, where the template itself has the parts; None where it is no image."""
        path = self.path / PARTS_FILE
        return np.load(path, allow_pickle=False) if path.is_file() else None

    @cached_property
    def quality(self) -> pd.DataFrame:
        """One row an image: similarity, folding, area, whether it is `guided`, and why not."""
        return pd.read_parquet(self.path / "quality.parquet")

    @cached_property
    def guided(self) -> npt.NDArray[np.bool_]:
        """Which images are guided by their maps."""
        return self.quality["guided"].to_numpy(dtype=bool)


def open_maps(path: Path | str) -> KnowledgeMaps:
    """Open the maps that `vesalius guide` wrote.

    Raises:
        KnowledgeError: No such folder, an unfinished one, or one of another version.
        StoreError: Files are missing or cut short.
    """
    folder = Path(path)
    about = folder / "maps.json"
    if (folder / JOURNAL).exists() or (folder.with_name(folder.name + ".partial").exists() and not about.is_file()):
        raise KnowledgeError(f"{folder}: unfinished; run the same `vesalius guide` again and it goes on")
    if not about.is_file():
        raise KnowledgeError(f"{folder}: holds no knowledge maps (no maps.json); make them with `vesalius guide STORE`")
    try:
        info = json.loads(about.read_text(encoding="utf-8"))
        schema = info["schema"]
        names = shard_files(info["arrays"])
        info["store"]["fingerprint"], int(info["store"]["images"]), list(info["parts"]), list(info["pairs"])
        info["template"], info["arrays"]["known"], dict(info["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KnowledgeError(f"{about}: not readable: {error}; {_ADVICE}") from error
    if schema != MAPS_SCHEMA:
        raise KnowledgeError(f"{folder}: layout version {schema}, this vesalius reads {MAPS_SCHEMA}; {_ADVICE}")
    check_file_names(about, names, what="maps")
    check_sizes(folder, info["arrays"], advice=_ADVICE)
    return KnowledgeMaps(path=folder, info=info)


def find_maps(store: Store, where: str | Path) -> KnowledgeMaps:
    """Find a store's maps: in the folder `where`, else `STORE/maps/<where>`.

    Raises:
        KnowledgeError: There are none of this name, or those in the folder are of another store.
    """
    folder = Path(where)
    inside = store.path / "maps" / str(where)
    if not (folder / "maps.json").is_file():
        if not inside.exists():
            there = sorted(path.parent.name for path in (store.path / "maps").glob("*/maps.json"))
            raise KnowledgeError(
                f"{store.path}: no knowledge maps '{where}'; it has {', '.join(there) or 'none'}. Make them with "
                f"`vesalius guide {store.path} --template ...`, or take a recipe that needs none, as dino-cxr/small"
            )
        folder = inside
    maps = open_maps(folder)
    if maps.info["store"]["fingerprint"] != store.fingerprint:
        raise KnowledgeError(
            f"{folder}: made for the store '{maps.info['store']['name']}' "
            f"({maps.info['store']['fingerprint'][:12]}), not for {store.path} ({store.fingerprint[:12]}); {_ADVICE}"
        )
    return maps


def read_atlas(folder: Path) -> Float[Tensor, "1 1 rows columns"]:
    """Read the template image of a folder of maps, in [0, 1], so that another store can be guided by it.

    Raises:
        KnowledgeError: The maps have none.
    """
    path = open_maps(folder).path / TEMPLATE_FILE
    if not path.is_file():
        raise KnowledgeError(f"{folder}: its template is no image; name maps of the templates atlas or deformable")
    return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32) / 65535)[None, None]


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
            "labelled": self.maps[0].labelled,
        }

    def gather(self, indices: Int[np.ndarray, "batch"]) -> Knowledge:
        """Read the maps of some images."""
        known = torch.from_numpy(self.pool.gather_rows(self._known, indices))

        def read(arrays: list[ShardedArray] | None) -> Tensor:
            if arrays is None:
                return known.new_empty((len(known), 0, *known.shape[2:]))
            return torch.from_numpy(self.pool.gather_rows(arrays, indices))

        return Knowledge(read(self._parts), read(self._coordinates), known, torch.from_numpy(self._guided[indices]))


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
    given = {str(maps.info["store"]["fingerprint"]): maps for maps in (open_maps(folder) for folder in folders)}
    found = []
    for store, _ in pool.parts:
        if given and store.fingerprint not in given:
            there = "; ".join(f"{maps.path} for '{maps.info['store']['name']}'" for maps in given.values())
            raise KnowledgeError(f"{store.path}: none of the maps given is made for it ({there}); {_ADVICE}")
        found.append(given[store.fingerprint] if given else find_maps(store, name))
    return KnowledgePool(pool, found, coordinates=coordinates)
