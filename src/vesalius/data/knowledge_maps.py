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
from jaxtyping import Float
from torch import Tensor

from vesalius.data.array_entries import check_file_names, check_sizes, open_array, shard_files
from vesalius.data.sharded_array import ShardedArray
from vesalius.data.store import JOURNAL, Store
from vesalius.errors import KnowledgeError
from vesalius.records.knowledge import PartNames

__all__ = [
    "ADVICE",
    "MAPS_SCHEMA",
    "KnowledgeMaps",
    "find_maps",
    "labelled_by",
    "open_maps",
    "read_atlas",
]

TEMPLATE_FILE = "template.npy"
"""The image that coordinates are places in, `[rows, columns]` uint16; another store can be guided by it."""

PARTS_FILE = "template_parts.npy"
"""Where the template itself has the parts, `[parts, rows, columns]` uint8."""

MAPS_SCHEMA = 1
"""Version of the layout; maps of another version are refused."""

ADVICE = "run `vesalius guide` again"


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
    def has_regions(self) -> bool:
        """Whether they cut images into regions."""
        return "regions" in self.info["arrays"]

    @property
    def frame(self) -> dict[str, Any]:
        """What decides the template that coordinates are places in; two sets of maps of one frame agree on places."""
        plan = self.info["plan"]
        return {key: plan.get(key) for key in ("template", "atlas_sha256")} | {
            "exemplar": None if plan.get("atlas_sha256") else (plan.get("exemplars") or [None])[0]
        }

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
    def regions(self) -> ShardedArray:
        """`[rows, 1, size, size]` uint8 labels; only where `has_regions`."""
        return open_array(self.path, self.info["arrays"]["regions"])

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


def labelled_by(maps: Sequence[KnowledgeMaps]) -> dict[str, list[str]]:
    """Return whose labels made some maps: `images` (sha256 of the exemplars' files) and `stores` (of segmenters).

    Exemplars without a mask are none of them.
    """
    plans = [one.info["plan"] for one in maps]
    exemplars = [image for plan in plans if plan.get("parts") for image in plan.get("exemplars") or ()]
    stores = [plan.get("segmenter", {}).get("trained_on", {}).get("fingerprint") for plan in plans]
    return {
        "images": sorted({one["image_sha256"] for one in exemplars if "image_sha256" in one}),
        "stores": sorted({one for one in stores if one is not None}),
    }


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
        raise KnowledgeError(f"{about}: not readable: {error}; {ADVICE}") from error
    if schema != MAPS_SCHEMA:
        raise KnowledgeError(f"{folder}: layout version {schema}, this vesalius reads {MAPS_SCHEMA}; {ADVICE}")
    check_file_names(about, names, what="maps")
    check_sizes(folder, info["arrays"], advice=ADVICE)
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
            f"({maps.info['store']['fingerprint'][:12]}), not for {store.path} ({store.fingerprint[:12]}); {ADVICE}"
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
