"""Writing arrays chunk by chunk, so that a kill at any moment leaves a partial that resumes or a whole folder.

Everything is written in `<out>.partial/`: a chunk's rows first, then its records in `journal/`, which makes the chunk
count. What a subclass finishes with comes last; then the journal is taken away and the folder renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt

from vesalius.data.array_writer import SHARD_BYTES, ArrayLayout, ArrayWriter, saying_disk_errors, write_durably
from vesalius.data.store import JOURNAL
from vesalius.errors import StoreError
from vesalius.locks import holding

__all__ = ["ChunkWriter", "Records", "differing", "put_in_place", "sync"]

Records = list[dict[str, Any]]

Writer = TypeVar("Writer", bound="ChunkWriter")


class ChunkWriter:
    """Opens or resumes the partial of a folder of arrays; use as a context manager so that its lock is let go.

    Args:
        out: Where the finished folder will be; must not exist, or be an empty folder.
        plan: Everything that shapes the rows; a partial made by another plan is
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
        self._lock = ExitStack()
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise StoreError(f"{out}: already exists; choose another --out, or remove it first")
        with saying_disk_errors(self.partial):
            self._journal.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self.records = self._read_journal(dict(plan), resume=resume)
        rows = sum(chunk["rows"] for chunk in self.records)
        self._arrays = [ArrayWriter(self.partial, layout, rows=rows, shard_bytes=shard_bytes) for layout in layouts]

    def __enter__(self: Writer) -> Writer:
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
        self._lock.close()

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

    def _finish_arrays(self) -> dict[str, Any]:
        """Write the headers of all arrays; return their entries by name."""
        return {writer.layout.name: writer.finish() for writer in self._arrays}

    def _take_lock(self) -> None:
        if not self._lock.enter_context(holding(self._journal / "lock")):
            self.close()
            raise StoreError(f"{self.partial}: another process is writing it; wait for it, or end it")

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


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which entries of two plans differ: `size was 256, now 224`."""
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return "; ".join(f"{name} was {before.get(name)!r}, now {now.get(name)!r}" for name in names)


def put_in_place(partial: Path, out: Path) -> None:
    """Take the journal away and rename: all else is written, so what is left to do can be done again."""
    shutil.rmtree(partial / JOURNAL, ignore_errors=True)
    if out.is_dir():
        out.rmdir()
    partial.rename(out)
    sync(out.parent)


def sync(path: Path) -> None:
    """Wait until the disk has a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
