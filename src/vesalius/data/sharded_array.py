"""An array of one row an image, spread over memory-mapped `.npy` files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ShardedArray"]


class ShardedArray:
    """Read-only `[rows, ...]` array whose rows lie in order in several `.npy` files.

    Opening is free: a file is mapped when a row of it is first asked for, and again in each process that the object
    is sent to. Indexing copies: `array[i]` is one row, `array[3:9]` and `array[[5, 1, 7]]` are `[n, ...]`. Rows are
    read in the order in which they lie on disk and returned in the order asked for.

    Args:
        paths: The files, in row order.
        rows: How many rows each file holds.
        row_shape: Shape of one row, for example `(256, 256)` or `(256, 256, 3)`.
        dtype: The pixels' type.

    Raises:
        IndexError: For a row outside the array.
    """

    def __init__(self, paths: Sequence[Path], rows: Sequence[int], row_shape: tuple[int, ...], dtype: str) -> None:
        self._paths = tuple(paths)
        self._starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]).astype(np.int64)
        self._row_shape = tuple(row_shape)
        self._dtype = np.dtype(dtype)
        self._maps: dict[int, npt.NDArray[Any]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, height, width) or (rows, height, width, 3)."""
        return (int(self._starts[-1]), *self._row_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """Bytes that all rows would take in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self._dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        if isinstance(index, (int, np.integer)):
            rows, single = self._resolve(np.asarray([index])), True
        elif isinstance(index, slice):
            rows, single = np.arange(*index.indices(len(self)), dtype=np.int64), False
        else:
            rows, single = self._resolve(np.asarray(index)), False
        gathered = self._gather(rows)
        return gathered[0] if single else gathered

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open maps behind: each process opens its own."""
        return {**self.__dict__, "_maps": {}}

    def __repr__(self) -> str:
        return f"ShardedArray(shape={self.shape}, dtype={self._dtype}, shards={len(self._paths)})"

    def _resolve(self, index: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Turn a mask or possibly negative row numbers into row numbers."""
        if index.dtype == np.bool_:
            if index.shape != (len(self),):
                raise IndexError(f"a mask of shape {index.shape} does not fit {len(self)} rows")
            return np.flatnonzero(index).astype(np.int64)
        if index.ndim != 1 or (index.size and not np.issubdtype(index.dtype, np.integer)):
            raise IndexError(f"rows are one-dimensional integers, got {index.dtype} of shape {index.shape}")
        rows = index.astype(np.int64)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"row {index[(rows < 0) | (rows >= len(self))][0]} of an array of {len(self)} rows")
        return rows

    def _gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        out = np.empty((len(rows), *self._row_shape), dtype=self._dtype)
        order = np.argsort(rows, kind="stable")
        shards = np.searchsorted(self._starts, rows[order], side="right") - 1
        for place, shard in zip(order.tolist(), shards.tolist(), strict=True):
            out[place] = self._map(shard)[int(rows[place] - self._starts[shard])]
        return out

    def _map(self, shard: int) -> npt.NDArray[Any]:
        mapped = self._maps.get(shard)
        if mapped is None:
            mapped = np.load(self._paths[shard], mmap_mode="r", allow_pickle=False)
            self._maps[shard] = mapped
        return mapped
