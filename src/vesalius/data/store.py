"""A prepared data set on disk: memory-mapped images, their manifest, and how each came to be."""

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

from vesalius.data.array_entries import check_file_names, check_sizes, open_array, shard_files
from vesalius.data.manifest import label_column, read_manifest
from vesalius.data.sharded_array import ShardedArray
from vesalius.errors import LabelError, StoreError, nearest

__all__ = ["SCHEMA", "Store", "file_sha256", "open_store"]

SCHEMA = 1
"""Version of the layout; a store of another version is refused."""

JOURNAL = "journal"
"""Folder that exists only while a store is being written."""


@dataclass(frozen=True)
class Store:
    """A complete store. Opening reads `store.json` only; the manifest and the pixels follow when asked for.

    Attributes:
        path: The store's folder.
        info: What `store.json` says: source, options, labels, arrays, counts, checksums.
    """

    path: Path
    info: Mapping[str, Any]

    def __len__(self) -> int:
        return int(self.info["counts"]["images"])

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """The table, row i describing row i of every array; see `vesalius.data.manifest.COLUMNS`."""
        return read_manifest(self.path / "manifest.parquet")

    @property
    def images(self) -> ShardedArray:
        """Pixels `[rows, size, size]` or `[rows, size, size, 3]`."""
        return self.array("images")

    @property
    def size(self) -> int:
        """Height and width of every image in pixels."""
        return int(self.info["arrays"]["images"]["row_shape"][0])

    @property
    def channels(self) -> int:
        """1 for gray, 3 for colour."""
        return 3 if len(self.info["arrays"]["images"]["row_shape"]) == 3 else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """`uint8` or `uint16`."""
        return np.dtype(str(self.info["arrays"]["images"]["dtype"]))

    @property
    def labels(self) -> dict[str, dict[str, Any]]:
        """Label name to `{"kind": ..., "classes": [...]}`."""
        return dict(self.info["labels"])

    @property
    def fingerprint(self) -> str:
        """64 hex digits that change when the manifest or the images do; extra maps do not touch them."""
        return str(self.info["fingerprint"])

    @property
    def mask_fingerprint(self) -> str:
        """64 hex digits that change when the masks do; empty where there are none."""
        shards = self.info["arrays"].get("masks", {}).get("shards", [])
        return hashlib.sha256("".join(one["sha256"] for one in shards).encode()).hexdigest() if shards else ""

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of the arrays besides the images (`masks`, knowledge maps), sorted."""
        return tuple(sorted(name for name in self.info["arrays"] if name != "images"))

    @property
    def masks(self) -> ShardedArray:
        """Label maps `[rows, size, size]`; what their values mean is in `info["arrays"]["masks"]["parts"]`.

        Raises:
            StoreError: Where the store has none.
        """
        if not self.has("masks"):
            raise StoreError(
                f"{self.path}: has no masks; its data set gave none. It holds {sorted(self.info['arrays'])}"
            )
        return self.array("masks")

    @property
    def refused(self) -> pd.DataFrame:
        """What could not be read: file, frame, reason, advice."""
        return _read_csv(self.path / "refused.csv")

    @property
    def duplicates(self) -> pd.DataFrame:
        """Images left out because their pixels are already there: file, duplicate_of, and what differs."""
        return _read_csv(self.path / "duplicates.csv")

    def has(self, name: str) -> bool:
        """Whether the store holds an array of this name."""
        return name in self.info["arrays"]

    def array(self, name: str) -> ShardedArray:
        """Return an array by name.

        Raises:
            StoreError: Where there is none, naming the nearest.
        """
        arrays = self.info["arrays"]
        if name not in arrays:
            hint = nearest(name, arrays)
            raise StoreError(f"{self.path}: no array {name!r}; it holds {sorted(arrays)}{hint}")
        if name not in self._opened:
            self._opened[name] = open_array(self.path, arrays[name])
        return self._opened[name]

    @cached_property
    def _opened(self) -> dict[str, ShardedArray]:
        return {}

    def rows(self, *, split: str | Sequence[str] | None = None, label: str | None = None) -> npt.NDArray[np.int64]:
        """Return the rows of a split (or of several), and only those where the label is known if one is named.

        Raises:
            StoreError: For a split that is not train, val or test.
            LabelError: For a label the store does not have, naming the nearest.
        """
        keep = np.ones(len(self), dtype=bool)
        if split is not None:
            wanted = [split] if isinstance(split, str) else list(split)
            for name in wanted:
                if name not in ("train", "val", "test"):
                    raise StoreError(f"no split {name!r}; splits are train, val and test")
            keep &= self.manifest["split"].isin(wanted).to_numpy(dtype=bool)
        if label is not None:
            if label not in self.labels:
                raise LabelError(
                    f"{self.path}: no label {label!r}; labels: {sorted(self.labels)}{nearest(label, self.labels)}"
                )
            keep &= self.manifest[label_column(label)].notna().to_numpy(dtype=bool)
        return np.flatnonzero(keep).astype(np.int64)

    def to_source(self, row: int, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map store coordinates of one image to the original file's.

        Args:
            row: The image.
            points: `[n, 2]` (x, y), continuous pixels: the centre of pixel (i, j) is (i + 0.5, j + 0.5).

        Returns:
            `[n, 2]` (x, y) in the original's pixels; times `spacing_x_mm`, `spacing_y_mm` gives millimetres.
        """
        about = self.manifest.iloc[row]
        offset = np.array([about["offset_x"], about["offset_y"]], dtype=np.float64)
        scale = np.array([about["scale_x"], about["scale_y"]], dtype=np.float64)
        return offset + np.asarray(points, dtype=np.float64) * scale

    def verify(self) -> None:
        """Compare every file with the checksum it was written with.

        Raises:
            StoreError: Naming the files that are missing or differ.
        """
        wrong = []
        for name, expected in self.info["checksums"].items():
            path = self.path / name
            if not path.is_file():
                wrong.append(f"{name} is missing")
            elif file_sha256(path) != expected:
                wrong.append(f"{name} differs from its checksum")
        if wrong:
            raise StoreError(f"{self.path}: damaged: {'; '.join(wrong)}. Copy it again or prepare it anew")


def open_store(path: Path | str) -> Store:
    """Open a prepared store; cheap, and refuses one that is unfinished or cut short.

    Args:
        path: The folder `vesalius prepare` wrote.

    Raises:
        StoreError: Where the folder is no store, an unfinished one, one of another version, or lacks files.
    """
    folder = Path(path)
    about = folder / "store.json"
    if (folder / JOURNAL).exists():
        raise StoreError(f"{folder}: unfinished; run the same `vesalius prepare` again and it goes on where it stopped")
    if not about.is_file():
        partial = folder.with_name(folder.name + ".partial")
        hint = (
            f"; {partial.name} is an unfinished one: run the same `vesalius prepare` again" if partial.is_dir() else ""
        )
        what = "is not a store (no store.json)" if folder.exists() else "does not exist"
        raise StoreError(f"{folder}: {what}{hint or '; make one with `vesalius prepare FOLDER --out STORE`'}")
    try:
        info = json.loads(about.read_text(encoding="utf-8"))
        schema = info["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{about}: not readable: {error}; prepare the store again") from error
    if schema != SCHEMA:
        raise StoreError(f"{folder}: layout version {schema}, this vesalius reads {SCHEMA}; prepare the store again")
    _check_entries(about, info)
    _check_sizes(folder, info)
    return Store(path=folder, info=info)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_entries(about: Path, info: Mapping[str, Any]) -> None:
    """Refuse a `store.json` that lacks what a store needs, or names files outside of its folder."""
    try:
        arrays = info["arrays"]
        int(info["counts"]["images"]), info["fingerprint"], dict(info["labels"]), arrays["images"]
        names = [*info["checksums"], *shard_files(arrays)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        cause = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise StoreError(
            f"{about}: not a whole store.json: {cause}; copy the store again or prepare it anew"
        ) from error
    check_file_names(about, names, what="store")


def _check_sizes(folder: Path, info: Mapping[str, Any]) -> None:
    check_sizes(folder, info["arrays"], advice="copy the store again or prepare it anew")
    if not (folder / "manifest.parquet").is_file():
        raise StoreError(f"{folder}: manifest.parquet is missing; copy the store again or prepare it anew")


def _read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)
