"""Training batches: every epoch a permutation, a pure function of (seed, step), shared out among processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vesalius.data.batches import ImagePool, TrainingBatches, step_seed
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.errors import StoreError, TrainingError


def _store(folder: Path, *, images: int, first: int = 0, bits: int = 8, channels: int = 1, size: int = 16) -> Store:
    """Images of one value each, which tells them apart: first, first + 1, ..."""
    (folder / "scans").mkdir(parents=True)
    generator = np.random.default_rng(first)
    for index in range(images):
        shape = (size, size, 3) if channels == 3 else (size, size)
        pixels = generator.integers(0, 2**bits, size=shape)
        pixels[:2] = first + index
        Image.fromarray(pixels.astype(np.uint8 if bits == 8 else np.uint16)).save(folder / "scans" / f"{index:04d}.png")
    options = {"size": size, "bits": bits, "channels": channels, "window": "range" if bits == 8 else (0, 65535)}
    if bits == 8:
        options["window"] = (0, 255)
    prepare(folder / "scans", folder / "store", workers=1, progress=False, **options)
    return open_store(folder / "store")


@pytest.fixture(scope="module")
def two_stores(tmp_path_factory) -> tuple[Store, Store]:
    root = tmp_path_factory.mktemp("batches")
    return _store(root / "one", images=11), _store(root / "two", images=7, first=100)


@pytest.fixture(scope="module")
def pool(two_stores) -> ImagePool:
    one, two = two_stores
    return ImagePool([(one, np.array([9, 2, 4, 10])), (two, np.arange(7))])


def _values(batch: torch.Tensor) -> list[int]:
    return batch[:, 0, 0, 0].tolist()


def test_rows_of_several_stores_are_one_array(pool: ImagePool, two_stores) -> None:
    assert len(pool) == 11
    one, two = two_stores
    batch = pool.gather(np.array([10, 0, 4, 3, 0]))
    assert (batch.shape, batch.dtype) == ((5, 1, 16, 16), torch.uint8)
    expected = np.stack([two.images[6], one.images[9], two.images[0], one.images[10], one.images[9]])
    assert np.array_equal(batch[:, 0].numpy(), expected)
    assert len(set(_values(pool.gather(np.arange(11))))) == 11


@given(st.integers(0, 2**32 - 1), st.integers(1, 11), st.integers(0, 4))
def test_every_epoch_is_a_permutation(pool: ImagePool, seed: int, batch_size: int, epoch: int) -> None:
    batches = TrainingBatches(pool, batch_size=batch_size, seed=seed, total_steps=10**6)
    per_epoch = 11 // batch_size
    assert batches.steps_per_epoch == per_epoch
    seen = np.concatenate([batches.indices(epoch * per_epoch + step) for step in range(per_epoch)])
    assert len(seen) == per_epoch * batch_size == len(set(seen.tolist()))
    assert set(seen.tolist()) <= set(range(11))
    if per_epoch * batch_size == 11:
        assert sorted(seen.tolist()) == list(range(11))


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([1, 2, 3, 6]))
def test_pure_in_seed_and_step_and_shared_equally(pool: ImagePool, seed: int, step: int, processes: int) -> None:
    whole = TrainingBatches(pool, batch_size=6, seed=seed, total_steps=50).indices(step)
    # Asked in another order, by another object, after other questions: the same.
    late = TrainingBatches(pool, batch_size=6, seed=seed, total_steps=50, start_step=step)
    assert np.array_equal(next(iter([late.indices(s) for s in (step + 3, step)][1:])), whole)
    parts = [
        TrainingBatches(pool, batch_size=6, seed=seed, total_steps=50, rank=rank, world_size=processes).indices(step)
        for rank in range(processes)
    ]
    assert {len(part) for part in parts} == {6 // processes}
    assert np.array_equal(np.stack(parts, axis=1).reshape(-1), whole)


def test_epochs_and_seeds_differ(pool: ImagePool) -> None:
    orders = {
        (seed, epoch): tuple(TrainingBatches(pool, batch_size=11, seed=seed, total_steps=9).indices(epoch))
        for seed in range(5)
        for epoch in range(5)
    }
    assert len(set(orders.values())) == 25


def test_iteration_starts_where_asked(pool: ImagePool) -> None:
    everything = [_values(b.images) for b in TrainingBatches(pool, batch_size=4, seed=3, total_steps=7)]
    rest = [_values(b.images) for b in TrainingBatches(pool, batch_size=4, seed=3, total_steps=7, start_step=5)]
    assert len(everything) == 7
    assert rest == everything[5:]
    assert list(TrainingBatches(pool, batch_size=4, seed=3, total_steps=7, start_step=7)) == []


def test_wide_pixels_become_fractions(tmp_path: Path) -> None:
    store = _store(tmp_path, images=3, first=40_000, bits=16)
    batch = ImagePool([(store, np.arange(3))]).gather(np.array([2, 1]))
    assert batch.dtype == torch.float32
    assert torch.allclose(batch[:, 0, 0, 0], torch.tensor([40_002 / 65_535, 40_001 / 65_535]))
    assert float(batch.max()) <= 1.0
    assert batch.unique().numel() > 256


def test_colour_is_channels_first(tmp_path: Path) -> None:
    store = _store(tmp_path, images=2, channels=3)
    batch = ImagePool([(store, np.arange(2))]).gather(np.array([1]))
    assert batch.shape == (1, 3, 16, 16)
    assert np.array_equal(batch[0].permute(1, 2, 0).numpy(), store.images[1])


def test_what_does_not_fit_is_refused(pool: ImagePool, two_stores, tmp_path: Path) -> None:
    one, _ = two_stores
    with pytest.raises(StoreError, match="one geometry"):
        ImagePool([(one, np.arange(2)), (_store(tmp_path / "large", images=2, size=20), np.arange(2))])
    with pytest.raises(StoreError, match="no image selected from store"):
        ImagePool([(one, np.array([], dtype=np.int64))])
    with pytest.raises(StoreError, match="empty batch"):
        pool.gather(np.array([], dtype=np.int64))
    with pytest.raises(TrainingError, match="11 images are fewer than one batch of 12"):
        TrainingBatches(pool, batch_size=12, seed=0, total_steps=1)
    with pytest.raises(TrainingError, match="cannot be shared by 4 processes"):
        TrainingBatches(pool, batch_size=6, seed=0, total_steps=1, world_size=4)


def test_step_seeds_differ_in_every_part() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(8) for step in range(100) for rank in range(4)}
    assert len(seeds) == 3200
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert step_seed(1, 2) == step_seed(1, 2, 0)
