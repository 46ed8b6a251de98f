"""Appending rows to the `.npy` shards of a store, so that a crash never costs what was committed."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.store import file_sha256
from vesalius.errors import StoreError

__all__ = ["SHARD_BYTES", "ArrayLayout", "ArrayWriter", "human_bytes", "saying_disk_errors", "write_durably"]

SHARD_BYTES = 2_000_000_000
"""Largest size of one shard."""

_HEADER_BYTES = 128  # numpy pads the header of these shapes to 128; pixels start here in every shard
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayLayout:
    """What an array of a store holds.

    Attributes:
        name: `images`, `masks`, or the name of a knowledge map; the shards are `<name>-00000.npy` and on.
        row_shape: Shape of one row.
        dtype: `uint8` or `uint16`.
        parts: Meaning of the values 0, 1, ... of a label map; empty for pictures.
    """

    name: str
    row_shape: tuple[int, ...]
    dtype: str
    parts: tuple[str, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize


class ArrayWriter:
    """Writes rows to numbered shards at positions that depend on the row only, so writing a row again changes nothing.

    Args:
        folder: Where the shards go.
        layout: What they hold.
        rows: Rows that are already there and stay (after a crash: those that were committed).
        shard_bytes: Largest size of a shard.
    """

    def __init__(self, folder: Path, layout: ArrayLayout, *, rows: int = 0, shard_bytes: int = SHARD_BYTES) -> None:
        self.layout = layout
        self.rows = rows
        self._folder = folder
        self._per_shard = max(1, (shard_bytes - _HEADER_BYTES) // layout.row_bytes)

    def append(self, pixels: npt.NDArray[Any]) -> None:
        """Add rows `[n, *row_shape]` and wait until the disk has them."""
        if pixels.shape[1:] != self.layout.row_shape or pixels.dtype != np.dtype(self.layout.dtype):
            raise ValueError(f"rows of {pixels.dtype} {pixels.shape[1:]} do not fit the array {self.layout}")
        done = 0
        while done < len(pixels):
            shard, first = divmod(self.rows + done, self._per_shard)
            count = min(len(pixels) - done, self._per_shard - first)
            data = np.ascontiguousarray(pixels[done : done + count]).reshape(-1).view(np.uint8)
            self._write_at(shard, _HEADER_BYTES + first * self.layout.row_bytes, data.data)
            done += count
        self.rows += len(pixels)

    def finish(self) -> dict[str, Any]:
        """Write the headers, cut off what was never committed, and return the array's entry for `store.json`."""
        shards = []
        for number in range(math.ceil(self.rows / self._per_shard)):
            rows = min(self._per_shard, self.rows - number * self._per_shard)
            path = self._path(number)
            size = _HEADER_BYTES + rows * self.layout.row_bytes
            self._write_at(number, 0, memoryview(self._header(rows)))
            os.truncate(path, size)
            shards.append({"file": path.name, "rows": rows, "bytes": size, "sha256": file_sha256(path)})
        written = {str(shard["file"]) for shard in shards}
        for path in self._folder.glob(f"{self.layout.name}-*.npy"):
            if path.name not in written:
                path.unlink()
        return {
            "dtype": self.layout.dtype,
            "row_shape": list(self.layout.row_shape),
            "parts": list(self.layout.parts),
            "shards": shards,
        }

    def _path(self, shard: int) -> Path:
        return self._folder / f"{self.layout.name}-{shard:05d}.npy"

    def _write_at(self, shard: int, offset: int, data: memoryview) -> None:
        descriptor = os.open(self._path(shard), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            while len(data):
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _header(self, rows: int) -> bytes:
        stream = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(np.dtype(self.layout.dtype))
        shape = (rows, *self.layout.row_shape)
        np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
        header = stream.getvalue()
        if len(header) != _HEADER_BYTES:
            raise AssertionError(f"numpy wrote a header of {len(header)} bytes for {shape}, expected {_HEADER_BYTES}")
        return header


def write_durably(path: Path, data: bytes | str | dict[str, Any]) -> None:
    """Write a small file whole or not at all; a dictionary becomes JSON with sorted keys."""
    if isinstance(data, dict):
        data = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    new = path.with_name(path.name + ".new")
    with new.open("wb") as stream:
        stream.write(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


@contextmanager
def saying_disk_errors(folder: Path, *, needed_bytes: int = 0) -> Iterator[None]:
    """Turn a full or read-only disk into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise StoreError(
                f"{folder}: cannot be written ({error.strerror or error}); choose another --out"
            ) from error
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = human_bytes(shutil.disk_usage(there).free)
        raise StoreError(
            f"{folder}: the disk is full ({error.strerror}): {free} free, {human_bytes(needed_bytes)} more needed. "
            "Nothing is lost: make room and run the same command again, it goes on where it stopped"
        ) from error


def human_bytes(count: int | float) -> str:
    """Return a byte count for people: `1.4 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
