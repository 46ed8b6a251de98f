"""Whose pseudonyms agree: only then can it be said that a pretraining did not see a patient."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vesalius.data.phantom import write_phantom
from vesalius.data.pool_record import count_seen, read_pool, write_pool
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.records.result import Result


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """Other images of the same patients: in a store of the same salt, and in one of its own."""
    root = tmp_path_factory.mktemp("sets")
    for seed in (1, 2):
        write_phantom(root / f"set{seed}", images=8, seed=seed, size=48)
    made = {"own": (1, "a.salt"), "same": (2, "a.salt"), "other": (2, "b.salt")}
    for name, (seed, salt) in made.items():
        how = {"size": 32, "workers": 1, "progress": False}
        prepare(root / f"set{seed}", root / name, salt_file=root / salt, **how)
    return {name: open_store(root / name) for name in made}


def _said(seen: dict[str, int] | None) -> str:
    sizes = {"train_images": 8, "test_images": 8, "train_patients": 8, "test_patients": 8}
    settings = {"seen_in_pretraining": seen}
    return Result(
        task="knn", label="a", kind="binary", scores=(), protocol="split", settings=settings, **sizes
    ).seen_in_words()


def _pool(path: Path, *stores: Store) -> pd.DataFrame:
    write_pool(path / "pool.parquet", [(store, store.rows()) for store in stores])
    pool = read_pool(path / "pool.parquet")
    assert pool is not None
    return pool


def test_patients_are_compared_among_stores_of_one_salt(stores: dict[str, Store], tmp_path: Path) -> None:
    pool, same = _pool(tmp_path, stores["own"]), stores["same"]
    seen = count_seen(pool, same, same.rows())
    assert seen["patients_compared"] is True
    assert seen["test_patients"] > 0  # the phantom's patients bear the same ids in both sets
    assert "cannot be compared" not in _said(seen)


def test_without_that_none_seen_is_not_claimed(stores: dict[str, Store], tmp_path: Path) -> None:
    pool, other = _pool(tmp_path, stores["own"]), stores["other"]
    seen = count_seen(pool, other, other.rows())
    assert (seen["test_patients"], seen["patients_compared"]) == (0, False)
    assert "None of the 8 scored images was among" in _said(seen)
    assert "patients cannot be compared" in _said(seen)
    assert "no other image" not in _said(seen)
    # One store that agrees does not make up for another that does not.
    mixed = count_seen(_pool(tmp_path, stores["own"], other), other, other.rows()[:4])
    assert (mixed["test_images"], mixed["patients_compared"]) == (4, False)


def test_records_and_results_of_before_are_read_as_not_known(stores: dict[str, Store], tmp_path: Path) -> None:
    own, half = stores["own"], np.arange(4)
    write_pool(tmp_path / "pool.parquet", [(own, half)])
    now = read_pool(tmp_path / "pool.parquet")
    assert now is not None
    assert count_seen(now, own, half + 4)["patients_compared"] is True
    now.drop(columns="pseudonyms").to_parquet(tmp_path / "pool.parquet", index=False)
    before = read_pool(tmp_path / "pool.parquet")
    assert before is not None
    seen = count_seen(before, own, half + 4)
    assert seen["patients_compared"] is False
    assert "cannot be compared" in _said({key: seen[key] for key in seen if key != "patients_compared"})
    everyone = count_seen(before, own, half)  # all of them seen: nothing is left open
    assert "cannot be compared" not in _said(everyone)


def test_files_of_unknown_patients_are_not_compared(stores: dict[str, Store], tmp_path: Path) -> None:
    own = stores["own"]
    path = shutil.copytree(own.path, tmp_path / "unknown")
    own.manifest.assign(patient_known=False).to_parquet(path / "manifest.parquet", index=False)
    unknown = open_store(path)
    assert count_seen(_pool(tmp_path, unknown), unknown, np.arange(2))["patients_compared"] is False
    write_pool(tmp_path / "pool.parquet", [])
    nothing = read_pool(tmp_path / "pool.parquet")
    assert nothing is not None
    assert count_seen(nothing, own, own.rows())["patients_compared"] is True  # of no image, none was seen
