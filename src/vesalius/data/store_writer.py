"""Writing a store chunk by chunk, so that a kill at any moment leaves a partial that resumes or a whole store.

Everything is written in `<out>.partial/`: a chunk's pixels first, then its records in `journal/`, which makes the
chunk count. `finish` writes the tables, then `store.json`, then takes the journal away, then renames the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt
import pandas as pd

from vesalius.data.array_writer import SHARD_BYTES, ArrayLayout, ArrayWriter, saying_disk_errors, write_durably
from vesalius.data.manifest import check_manifest, write_manifest
from vesalius.data.store import JOURNAL, SCHEMA, Store, file_sha256, open_store
from vesalius.errors import StoreError
from vesalius.version import __version__

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock; two writers are then the user's business
    fcntl = None  # type: ignore[assignment]

__all__ = ["StoreWriter", "differing", "existing_store"]

Records = list[dict[str, Any]]

_TABLES = ("manifest.parquet", "refused.csv", "duplicates.csv")
_COORDINATES = (
    "x_source = offset_x + scale_x * x_store, y likewise, from the manifest; continuous pixels, "
    "origin at the outer top-left corner, the centre of pixel i is i + 0.5"
)


class StoreWriter:
    """Opens or resumes the partial of a store; use as a context manager so that its lock is let go.

    Args:
        out: Where the finished store will be; must not exist, or be an empty folder.
        plan: Everything that shapes the pixels (source listing, options, salt id); a partial made by another plan is
            refused, naming what differs.
        layouts: The arrays to write.
        resume: Go on with a partial; False throws it away.
        shard_bytes: Largest size of a shard.

    Raises:
        StoreError: Where `out` is taken, another process is writing, or the partial is of another plan.
    """

    def __init__(
        self,
        out: Path,
        *,
        plan: Mapping[str, Any],
        layouts: Sequence[ArrayLayout],
        resume: bool = True,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.out = out
        self.partial = out.with_name(out.name + ".partial")
        self._journal = self.partial / JOURNAL
        self._lock: IO[bytes] | None = None
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise StoreError(f"{out}: already exists; choose another --out, or remove it first")
        with saying_disk_errors(self.partial):
            self._journal.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self.records = self._read_journal(dict(plan), resume=resume)
        rows = sum(chunk["rows"] for chunk in self.records)
        self._arrays = [ArrayWriter(self.partial, layout, rows=rows, shard_bytes=shard_bytes) for layout in layouts]

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def chunks(self) -> int:
        """How many chunks are committed."""
        return len(self.records)

    @property
    def rows(self) -> int:
        """How many rows are committed."""
        return self._arrays[0].rows

    def close(self) -> None:
        """Let go of the lock; what is committed stays for the next writer."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def commit(
        self, arrays: Mapping[str, npt.NDArray[Any]], records: Mapping[str, Records], *, needed_bytes: int
    ) -> None:
        """Commit the next chunk: the same number of rows for every array, and what is known of them.

        Args:
            arrays: Array name to `[n, *row_shape]`.
            records: Plain types, returned as they are by `records` after a resume.
            needed_bytes: How much is still to be written, for the message when the disk is full.

        Raises:
            StoreError: When the disk is full; the chunk then does not count and the partial stays good.
        """
        rows = {len(arrays[writer.layout.name]) for writer in self._arrays}
        if len(rows) != 1:
            raise ValueError(f"arrays of one chunk differ in their rows: {rows}")
        chunk = {"rows": rows.pop(), "records": dict(records)}
        with saying_disk_errors(self.partial, needed_bytes=needed_bytes):
            for writer in self._arrays:
                writer.append(arrays[writer.layout.name])
            write_durably(self._journal / f"chunk-{self.chunks:07d}.json", chunk)
        self.records.append(chunk)

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
            arrays = {writer.layout.name: writer.finish() for writer in self._arrays}
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
                _sync(self.partial / name)
            write_durably(self.partial / "store.json", about)
            self.close()
            return _put_in_place(self.partial, self.out)

    def _take_lock(self) -> None:
        self._lock = (self._journal / "lock").open("wb")
        if fcntl is None:  # pragma: no cover
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StoreError(f"{self.partial}: another process is writing this store; wait for it, or end it") from None

    def _read_journal(self, plan: dict[str, Any], *, resume: bool) -> list[dict[str, Any]]:
        """Return the committed chunks, or start anew."""
        path = self._journal / "plan.json"
        plan = json.loads(json.dumps(plan))
        if resume and path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            if before != plan:
                self.close()
                raise StoreError(
                    f"{self.partial}: begun with other settings: {differing(before, plan)}. "
                    "Use the same settings to go on, or --no-resume to throw away what is there"
                )
        else:
            for old in self.partial.iterdir():
                if old.is_file():
                    old.unlink()
            for old in self._journal.glob("*.json"):
                old.unlink()
            write_durably(path, plan)
        chunks: list[dict[str, Any]] = []
        while (chunk := self._journal / f"chunk-{len(chunks):07d}.json").is_file():
            chunks.append(json.loads(chunk.read_text(encoding="utf-8")))
        return chunks


def existing_store(out: Path) -> Store | None:
    """Return the complete store at `out`, moving it there first if only the last rename was missing; else None."""
    partial = out.with_name(out.name + ".partial")
    if (partial / "store.json").is_file() and not (out / "store.json").exists():
        with saying_disk_errors(out):
            return _put_in_place(partial, out)
    return open_store(out) if (out / "store.json").is_file() else None


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which entries of two plans differ: `size was 256, now 224`."""
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return "; ".join(f"{name} was {before.get(name)!r}, now {now.get(name)!r}" for name in names)


def _put_in_place(partial: Path, out: Path) -> Store:
    """Take the journal away and rename: `store.json` is there, so what is left to do can be done again."""
    shutil.rmtree(partial / JOURNAL, ignore_errors=True)
    if out.is_dir():
        out.rmdir()
    partial.rename(out)
    _sync(out.parent)
    return open_store(out)


def _fingerprint(checksums: Mapping[str, str]) -> str:
    import hashlib

    named = sorted(item for item in checksums.items() if item[0] == "manifest.parquet" or item[0].startswith("images-"))
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
