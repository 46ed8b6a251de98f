"""Masks of a plain folder: of one part, or label maps whose values the user names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.folder import FolderAdapter
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.errors import DatasetError, StoreError


def write(folder: Path, maps: dict[str, np.ndarray]) -> Path:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, values in maps.items():
        Image.fromarray(generator.integers(0, 255, values.shape, dtype=np.uint8)).save(folder / "images" / name)
        Image.fromarray(values).save(folder / "masks" / name)
    return folder


def label_map(*values: int, dtype: type = np.uint8) -> np.ndarray:
    out = np.zeros((24, 24), dtype=dtype)
    for place, value in enumerate(values):
        out[6 * place : 6 * place + 4, 4:12] = value
    return out


def stored(source: Path, out: Path, **options: object) -> Store:
    prepare(source, out, size=24, workers=1, progress=False, **options)
    return open_store(out)


@pytest.mark.parametrize(("dtype", "step"), [(np.uint8, 1), (np.uint16, 700)])
def test_label_maps_are_read_by_the_values_that_are_named(here: Path, tmp_path: Path, dtype: type, step: int) -> None:
    values = label_map(step, 2 * step, 3 * step, dtype=dtype)
    write(here, {"a.png": values, "b.png": values})
    told = f"lung={2 * step},heart={step},void={3 * step}"
    store = stored(here, tmp_path / "store", adapter_options={"parts": told})
    parts = store.info["arrays"]["masks"]["parts"]
    assert parts == ["background", "heart", "lung", "void"]
    for value, name in ((0, "background"), (step, "heart"), (2 * step, "lung"), (3 * step, "void")):
        assert np.array_equal(store.masks[0] == parts.index(name), values == value)
    assert store.manifest["has_masks"].all()


def test_values_without_a_name_are_refused(here: Path, tmp_path: Path) -> None:
    write(here, {"a.png": label_map(1, 2), "b.png": label_map(1, 4)})
    store = stored(here, tmp_path / "store", adapter_options={"parts": "heart=1,lung=2"})
    assert store.manifest["has_masks"].tolist() == [True, False]
    [refused] = store.refused.to_dict("records")
    assert refused["reason"] == "its mask (b.png): mask has the values 4"
    assert refused["advice"] == "Known: 0 background, 1 heart, 2 lung. The image is kept without masks"


def test_without_names_a_mask_of_several_values_is_refused(here: Path, tmp_path: Path) -> None:
    write(here, {"a.png": label_map(1, 2, 3), "b.png": label_map(255, 255)})
    store = stored(here, tmp_path / "store")
    assert store.manifest["has_masks"].tolist() == [False, True]
    assert store.info["arrays"]["masks"]["parts"] == ["background", "mask"]
    assert store.masks[1].sum() == 64
    [refused] = store.refused.to_dict("records")
    assert refused["reason"] == "its mask (a.png): mask has 4 values: 0, 1, 2, 3; a mask of one part has two"
    assert "--option parts=heart=1,lung=2" in refused["advice"]


def test_other_names_of_the_values_are_another_store(here: Path, tmp_path: Path) -> None:
    write(here, {"a.png": label_map(1, 2), "b.png": label_map(2, 1)})
    stored(here, tmp_path / "store", adapter_options={"parts": "heart=1,lung=2"})
    stored(here, tmp_path / "store", adapter_options={"parts": ["lung=2", "heart=1"]})
    with pytest.raises(StoreError, match=r"mask_values was \['heart=1', 'lung=2'\], now \['lung=1', 'heart=2'\]"):
        stored(here, tmp_path / "store", adapter_options={"parts": "heart=2,lung=1"})


@pytest.mark.parametrize("told", ["heart", "heart=0", "heart=-1", "heart=1.5", "=1", "background=1", "heart=70000", ""])
def test_names_that_are_none_are_refused(here: Path, told: str) -> None:
    write(here, {"a.png": label_map(1)})
    with pytest.raises(DatasetError, match="expected NAME=VALUE by commas, for example heart=1,lung=2"):
        FolderAdapter().samples(here, parts=told)


def test_a_value_of_two_parts_and_names_without_masks_are_refused(here: Path) -> None:
    write(here, {"a.png": label_map(1)})
    with pytest.raises(DatasetError, match="the value 1 is given to heart and to lung"):
        FolderAdapter().samples(here, parts="heart=1,lung=1")
    (here / "masks/a.png").unlink()
    with pytest.raises(DatasetError, match="parts is given, and no masks are there"):
        FolderAdapter().samples(here, parts="heart=1")
