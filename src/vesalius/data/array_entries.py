"""The arrays of a folder as its JSON file lists them: checked before they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.data.sharded_array import ShardedArray
from vesalius.errors import StoreError

__all__ = ["check_file_names", "check_sizes", "open_array", "shard_files"]


def shard_files(arrays: Mapping[str, Any]) -> list[Any]:
    """Return what stands for the file name of every shard; see `check_file_names`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: An entry is not one of an array.
    """
    names = []
    for array in arrays.values():
        np.dtype(array["dtype"]), [int(side) for side in array["row_shape"]]
        for shard in array["shards"]:
            int(shard["rows"]), int(shard["bytes"])
            names.append(shard["file"])
    return names


def check_file_names(about: Path, names: list[Any], *, what: str) -> None:
    """Refuse a JSON file that names files outside of its folder.

    Raises:
        StoreError: Naming the file.
    """
    for name in names:
        if not isinstance(name, str) or not name or name == ".." or {"/", "\\", "\0", ":"} & set(name):
            raise StoreError(
                f"{about}: names {name!r}, which is no file of the {what}'s own folder. Do not use it; make it anew"
            )


def check_sizes(folder: Path, arrays: Mapping[str, Any], *, advice: str) -> None:
    """Refuse a folder whose shards are missing or cut short.

    Raises:
        StoreError: Naming the shard, with the advice.
    """
    for array in arrays.values():
        for shard in array["shards"]:
            path = folder / shard["file"]
            size = path.stat().st_size if path.is_file() else -1
            if size != shard["bytes"]:
                arrived = "is missing" if size < 0 else f"has {size} bytes, expected {shard['bytes']}"
                raise StoreError(f"{folder}: {shard['file']} {arrived}; {advice}")


def open_array(folder: Path, about: Mapping[str, Any]) -> ShardedArray:
    """Open one array by its entry."""
    paths = [folder / shard["file"] for shard in about["shards"]]
    rows = [int(shard["rows"]) for shard in about["shards"]]
    return ShardedArray(paths, rows, tuple(about["row_shape"]), about["dtype"])
