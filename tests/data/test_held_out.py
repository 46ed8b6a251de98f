"""Validation images are of patients that nothing is trained on, whatever stores are given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vesalius.data.held_out import held_out_pool
from vesalius.data.open_pool import open_pool
from vesalius.data.store import open_store
from vesalius.errors import SplitError, StoreError


def _another(store: Path, folder: Path, split_of: dict[str, str]) -> Path:
    """Copy a store with some patients in other splits, as another data set of one salt may hold them."""
    shutil.copytree(store, folder)
    manifest = pd.read_parquet(folder / "manifest.parquet")
    manifest["split"] = manifest["patient"].map(split_of).fillna("test")
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    about = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(about | {"fingerprint": "0" * 64}))
    return folder


def _patients(store: Path, split: str) -> list[str]:
    opened = open_store(store)
    return sorted(set(opened.manifest["patient"].iloc[opened.rows(split=split)]))


def test_the_split_of_all_stores(phantom_store: Path) -> None:
    trained, _ = open_pool([phantom_store, f"{phantom_store}@test"])
    pool, about = held_out_pool(trained)
    store = open_store(phantom_store)
    assert [rows.tolist() for _, rows in pool.parts] == [store.rows(split="val").tolist()], "one store counts once"
    assert about == {"split": "val", "images": len(pool), "patients": len(_patients(phantom_store, "val"))}
    assert np.array_equal(pool.gather(np.arange(len(pool))).numpy()[:, 0], store.images[store.rows(split="val")])


def test_patients_that_another_store_trains_on_are_left_out(phantom_store: Path, tmp_path: Path) -> None:
    first, *others = _patients(phantom_store, "val")
    other = _another(phantom_store, tmp_path / "other", {first: "train"})
    pool, about = held_out_pool(open_pool([phantom_store, other])[0])
    ((store, rows),) = pool.parts
    assert sorted(set(store.manifest["patient"].iloc[rows])) == others
    assert about["patients_left_out"] == 1
    every = _another(phantom_store, tmp_path / "every", dict.fromkeys([first, *others], "train"))
    with pytest.raises(StoreError, match=r"no image in the val split of .*trained on in another store"):
        held_out_pool(open_pool([phantom_store, every])[0])


def test_a_split_that_is_trained_on_or_empty_is_refused(phantom_store: Path, tmp_path: Path) -> None:
    for data in (f"{phantom_store}@all", [phantom_store, f"{phantom_store}@val"]):
        with pytest.raises(SplitError, match=r"images trained on are of its val split"):
            held_out_pool(open_pool(data)[0])
    without = _another(phantom_store, tmp_path / "none", {_patients(phantom_store, "train")[0]: "train"})
    with pytest.raises(StoreError, match=r"no image in the val split of .*none\. Prepare the images with such a split"):
        held_out_pool(open_pool(without)[0])
