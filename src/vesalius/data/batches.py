"""Training batches as a pure function of (seed, step), so that a resumed training sees what it would have seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, Integer, Shaped
from torch import Tensor
from torch.utils.data import IterableDataset

from vesalius.data.sharded_array import ShardedArray
from vesalius.data.store import Store
from vesalius.errors import StoreError, TrainingError
from vesalius.records.knowledge import Knowledge, TrainingBatch

__all__ = ["ImagePool", "TrainingBatches", "step_seed"]


class ImagePool:
    """The rows of one or several stores of one geometry, addressed as one long array."""

    def __init__(self, parts: Sequence[tuple[Store, npt.NDArray[np.int64]]]) -> None:
        """Join (store, rows) pairs.

        Raises:
            StoreError: The stores differ in size, channels or dtype, or nothing is selected.
        """
        shapes = {(store.size, store.channels, str(store.dtype)) for store, _ in parts}
        if len(shapes) != 1:
            found = "; ".join(f"{store.path.name}: {store.size} px, {store.channels} channels" for store, _ in parts)
            raise StoreError(f"stores of one geometry are needed to train on them together, got {found}")
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *[len(rows) for _, rows in parts]])
        if len(self) == 0:
            names = ", ".join(store.path.name for store, _ in parts)
            raise StoreError(f"no image selected from {names}; name another split (STORE@train, STORE@all)")
        self.size, self.channels = parts[0][0].size, parts[0][0].channels

    def __len__(self) -> int:
        """Number of images."""
        return int(self.starts[-1])

    def gather(self, indices: Int[np.ndarray, "batch"]) -> Shaped[Tensor, "batch channels height width"]:
        """Read images as `[batch, channels, height, width]`: uint8 as stored, 16-bit as float in [0, 1]."""
        pixels = self.gather_rows([store.images for store, _ in self.parts], indices)
        if pixels.dtype == np.uint16:
            pixels = pixels.astype(np.float32) / 65535.0
        tensor = torch.from_numpy(pixels)
        return tensor[:, None] if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)

    def gather_rows(
        self, arrays: Sequence[ShardedArray], indices: Int[np.ndarray, "batch"]
    ) -> Shaped[np.ndarray, "batch ..."]:
        """Read the rows of some images from arrays that lie beside the stores, one array a part of the pool."""
        part_of = np.searchsorted(self.starts, indices, side="right") - 1
        gathered: npt.NDArray[Any] | None = None
        for position, ((_, rows), array) in enumerate(zip(self.parts, arrays, strict=True)):
            here = np.flatnonzero(part_of == position)
            if len(here) == 0:
                continue
            block = array[rows[indices[here] - self.starts[position]]]
            if len(here) == len(indices):
                return block
            if gathered is None:
                gathered = np.empty((len(indices), *block.shape[1:]), dtype=block.dtype)
            gathered[here] = block
        if gathered is None:
            raise StoreError("an empty batch was asked for")
        return gathered


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Mix seed, step and rank into one generator seed; every random draw of a step comes from it."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, dtype=np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    rank: int
    world_size: int


class TrainingBatches(IterableDataset[TrainingBatch]):
    """Batches from `start_step` to `total_steps`; every epoch is a new permutation, its ragged end is left out."""

    def __init__(
        self,
        pool: ImagePool,
        *,
        batch_size: int,
        seed: int,
        total_steps: int,
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
        knowledge: Callable[[Int[np.ndarray, "batch"]], Knowledge] | None = None,
        regions: Callable[[Int[np.ndarray, "batch"]], Integer[Tensor, "batch rows columns"]] | None = None,
    ) -> None:
        """Plan the batches of one process.

        Args:
            pool: Where the images are.
            batch_size: Images a step over all processes together.
            seed: Of the permutations.
            total_steps: Where the training ends.
            start_step: Where it begins, more than 0 when it is resumed.
            rank: This process.
            world_size: How many there are; it must divide the batch.
            knowledge: Reads the knowledge maps of images by their place in the pool.
            regions: Reads the regions of images in the same way.

        Raises:
            TrainingError: Fewer images than one batch, or a batch that the processes cannot share equally.
        """
        if len(pool) < batch_size:
            raise TrainingError(
                f"{len(pool)} images are fewer than one batch of {batch_size}; lower training.batch_size or add images"
            )
        if batch_size % world_size:
            raise TrainingError(f"a batch of {batch_size} cannot be shared by {world_size} processes equally")
        self.pool, self.batch_size, self.seed = pool, batch_size, seed
        self.start_step, self.total_steps = start_step, total_steps
        self.shard = _Shard(rank=rank, world_size=world_size)
        self.knowledge, self.regions = knowledge, regions
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass."""
        return len(self.pool) // self.batch_size

    def indices(self, step: int) -> Int[np.ndarray, "batch"]:
        """Which images this process sees at `step`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.pool))
        batch = self._order[1][position * self.batch_size : (position + 1) * self.batch_size]
        return batch[self.shard.rank :: self.shard.world_size]

    def read(self, indices: Int[np.ndarray, "batch"]) -> TrainingBatch:
        """Read images by their place in the pool, with what is known of them."""
        known = None if self.knowledge is None else self.knowledge(indices)
        regions = None if self.regions is None else self.regions(indices)
        return TrainingBatch(self.pool.gather(indices), known, regions)

    def __iter__(self) -> Iterator[TrainingBatch]:
        """Yield the batches in order."""
        for step in range(self.start_step, self.total_steps):
            yield self.read(self.indices(step))
