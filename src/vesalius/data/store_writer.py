"""Writing a store: its arrays chunk by chunk, then its tables, then `store.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vesalius.data.array_writer import saying_disk_errors, write_durably
from vesalius.data.chunk_writer import ChunkWriter, put_in_place, sync
from vesalius.data.manifest import check_manifest, write_manifest
from vesalius.data.store import SCHEMA, Store, file_sha256, open_store
from vesalius.version import __version__

__all__ = ["StoreWriter", "existing_store"]

_TABLES = ("manifest.parquet", "refused.csv", "duplicates.csv")
_COORDINATES = (
    "x_source = offset_x + scale_x * x_store, y likewise, from the manifest; continuous pixels, "
    "origin at the outer top-left corner, the centre of pixel i is i + 0.5"
)


class StoreWriter(ChunkWriter):
    """Opens or resumes the partial of a store; see `ChunkWriter`."""

    def finish(
        self, manifest: pd.DataFrame, refused: pd.DataFrame, duplicates: pd.DataFrame, info: Mapping[str, Any]
    ) -> Store:
        """Write the tables and `store.json` and put the store in its place.

        Args:
            manifest: See `vesalius.data.manifest.COLUMNS`; row i describes row i of every array.
            refused: file, frame, reason, advice.
            duplicates: file, frame, duplicate_of, and what differs.
            info: Further entries of `store.json`: `labels`, `options`, `source`, `counts` and what else is known.

        Raises:
            StoreError: When the disk is full.
            ManifestError: When the manifest is not as it should be.
        """
        table = check_manifest(manifest, info["labels"])
        if len(table) != self.rows:
            raise ValueError(f"{len(table)} manifest rows for {self.rows} images")
        with saying_disk_errors(self.partial):
            arrays = self._finish_arrays()
            write_manifest(self.partial / "manifest.parquet", table)
            refused.to_csv(self.partial / "refused.csv", index=False, lineterminator="\n", errors="surrogateescape")
            duplicates.to_csv(
                self.partial / "duplicates.csv", index=False, lineterminator="\n", errors="surrogateescape"
            )
            checksums = {name: file_sha256(self.partial / name) for name in _TABLES}
            for array in arrays.values():
                checksums |= {shard["file"]: shard["sha256"] for shard in array["shards"]}
            about = {
                **info,
                "schema": SCHEMA,
                "vesalius": __version__,
                "coordinates": _COORDINATES,
                "arrays": arrays,
                "checksums": checksums,
                "fingerprint": _fingerprint(checksums),
            }
            for name in _TABLES:
                sync(self.partial / name)
            write_durably(self.partial / "store.json", about)
            self.close()
            put_in_place(self.partial, self.out)
            return open_store(self.out)


def existing_store(out: Path) -> Store | None:
    """Return the complete store at `out`, moving it there first if only the last rename was missing; else None."""
    partial = out.with_name(out.name + ".partial")
    if (partial / "store.json").is_file() and not (out / "store.json").exists():
        with saying_disk_errors(out):
            put_in_place(partial, out)
    return open_store(out) if (out / "store.json").is_file() else None


def _fingerprint(checksums: Mapping[str, str]) -> str:
    named = sorted(item for item in checksums.items() if item[0] == "manifest.parquet" or item[0].startswith("images-"))
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()
