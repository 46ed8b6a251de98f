"""MSD, PatchCamelyon, MedMNIST: many images in one file."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from vesalius.data.adapters.registry import find_adapter
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store
from vesalius.errors import DatasetError, ManifestError


def write_heart(folder: Path) -> dict:
    generator = np.random.default_rng(0)
    for name, slices, kind in (("la_003", 3, "Tr"), ("la_004", 2, "Tr"), ("la_001", 2, "Ts")):
        (folder / f"images{kind}").mkdir(parents=True, exist_ok=True)
        (folder / "labelsTr").mkdir(exist_ok=True)
        volume = generator.integers(0, 900, (20, 20, slices)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / f"images{kind}/{name}.nii.gz")
        if kind == "Tr":
            truth = np.zeros(volume.shape, dtype=np.uint8)
            truth[4:9, 4:9, 1] = 1
            nibabel.save(nibabel.Nifti1Image(truth, np.eye(4)), folder / f"labelsTr/{name}.nii.gz")
    return {
        "name": "Heart",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "left atrium"},
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in ("la_003", "la_004")
        ],
        "test": ["./imagesTs/la_001.nii.gz"],
    }


def test_msd_heart(here: Path, tmp_path: Path) -> None:
    task = here / "Task02_Heart"
    content = write_heart(task)
    (task / "dataset.json").write_text(json.dumps(content))
    adapter = find_adapter("auto", here)
    assert adapter.name == "msd"
    samples = adapter.samples(here)
    assert [(one.patient, one.frame) for one in samples] == [
        ("la_003", 0), ("la_003", 1), ("la_003", 2), ("la_004", 0), ("la_004", 1), ("la_001", 0), ("la_001", 1),
    ]  # fmt: skip
    assert {sample.split for sample in samples} == {None}
    prepare(here, tmp_path / "store", size=20, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    assert store.info["arrays"]["masks"]["parts"] == ["background", "left_atrium"]
    areas = [int(store.masks[np.array([row])].sum()) for row in range(len(store))]
    assert sorted(areas) == [0, 0, 0, 0, 0, 25, 25]
    with pytest.raises(DatasetError, match=r"volume=1: .* has 1 \(MRI\)"):
        find_adapter("msd", task).samples(task, volume="1")
    bad_tables = [
        content | change
        for change in ({"training": [{"image": "a"}]}, {"labels": ["a"]}, {"modality": "MRI"}, {"test": [{}]})
    ]
    for bad in bad_tables:
        (task / "dataset.json").write_text(json.dumps(bad))
        with pytest.raises(ManifestError, match=r"dataset\.json"):
            find_adapter("msd", task).samples(task)
    (task / "dataset.json").write_text(json.dumps(content | {"test": ["../../away.nii.gz"]}))
    with pytest.raises(ManifestError, match="leads out"):
        find_adapter("msd", task).samples(task)


def write_patches(folder: Path, side: str, count: int, *, slides: bool) -> None:
    generator = np.random.default_rng(count)
    stem = f"camelyonpatch_level_2_split_{side}"
    with h5py.File(folder / f"{stem}_x.h5", "w") as file:
        file["x"] = generator.integers(0, 255, (count, 96, 96, 3), dtype=np.uint8)
    with h5py.File(folder / f"{stem}_y.h5", "w") as file:
        file["y"] = (np.arange(count) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
    if slides:
        rows = "".join(f"{number},1,2,True,True,camelyon16_train_{number // 2}\n" for number in range(count))
        (folder / f"{stem}_meta.csv").write_text("number,coord_y,coord_x,tumor_patch,center_tumor_patch,wsi\n" + rows)


def test_volumes_that_the_table_of_msd_does_not_name_are_told(here: Path) -> None:
    task = here / "Task02_Heart"
    (task / "dataset.json").write_text(json.dumps(write_heart(task)))
    volume = sorted((task / "imagesTr").glob("*.nii.gz"))[0]
    (task / "imagesTr" / "la_099.nii.gz").write_bytes(volume.read_bytes())
    adapter = find_adapter("msd", here)
    assert "la_099" not in {sample.patient for sample in adapter.samples(here)}
    told = "1 files that dataset.json does not name are left out (first: Task02_Heart/imagesTr/la_099.nii.gz)"
    assert told in adapter.warnings


def test_patch_camelyon(here: Path, tmp_path: Path) -> None:
    write_patches(here, "train", 6, slides=True)
    write_patches(here, "valid", 2, slides=False)
    adapter = find_adapter("auto", here)
    assert adapter.name == "patch-camelyon"
    samples = adapter.samples(here)
    assert [one.labels["tumour"] for one in samples] == [0, 1, 0, 1, 0, 1, 0, 1]
    assert [one.split for one in samples] == 6 * ["train"] + 2 * ["val"]
    assert samples[0].patient == samples[1].patient != samples[2].patient
    assert len({sample.patient for sample in samples[-2:]}) == 2
    assert any("each patch counts as its own patient" in text for text in adapter.warnings)
    prepare(here, tmp_path / "store", size=96, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    assert (len(store), store.channels) == (8, 3)
    with h5py.File(here / "camelyonpatch_level_2_split_train_x.h5") as file:
        row = int(np.flatnonzero((store.manifest["split"] == "train") & (store.manifest["frame"] == 3))[0])
        assert np.array_equal(store.images[np.array([row])][0], file["x"][3])
    assert store.manifest["patient"].nunique() == 3 + 2
    with h5py.File(here / "camelyonpatch_level_2_split_valid_y.h5", "w") as file:
        file["y"] = np.zeros((3, 1, 1, 1), dtype=np.uint8)
    with pytest.raises(ManifestError, match=r"3 labels for the 2 patches of camelyonpatch_level_2_split_valid_x.h5"):
        find_adapter("auto", here).samples(here)
    (here / "camelyonpatch_level_2_split_valid_y.h5").unlink()
    with pytest.raises(ManifestError, match=r"no camelyonpatch_level_2_split_valid_y.h5"):
        find_adapter("auto", here).samples(here)


def write_mnist(path: Path, *, columns: int, classes: int, channels: int = 1, kind: type = np.uint8) -> None:
    generator = np.random.default_rng(0)
    arrays = {}
    for side, count in (("train", 6), ("val", 2), ("test", 3)):
        shape = (count, 28, 28) if channels == 1 else (count, 28, 28, channels)
        arrays[f"{side}_images"] = generator.integers(0, 255, shape, dtype=np.uint8)
        arrays[f"{side}_labels"] = (np.arange(count * columns).reshape(count, columns) % classes).astype(kind)
    np.savez(path, **arrays)


def test_medmnist(here: Path, tmp_path: Path) -> None:
    write_mnist(here / "retinamnist.npz", columns=1, classes=5, channels=3)
    adapter = find_adapter("auto", here)
    assert adapter.name == "medmnist"
    samples = adapter.samples(here)
    assert [one.split for one in samples] == 6 * ["train"] + 2 * ["val"] + 3 * ["test"]
    assert [one.labels["class"] for one in samples[:6]] == [0, 1, 2, 3, 4, 0]
    assert adapter.labels["class"].kind == "ordinal"
    prepare(here, tmp_path / "store", size=28, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    assert store.manifest["patient"].nunique() == 11
    with np.load(here / "retinamnist.npz") as arrays:
        row = int(np.flatnonzero((store.manifest["split"] == "test") & (store.manifest["frame"] == 1))[0])
        assert np.array_equal(store.images[np.array([row])][0], arrays["test_images"][1])
    write_mnist(here / "chestmnist_64.npz", columns=14, classes=2)
    with pytest.raises(DatasetError, match=r"several sets .*--option file=chestmnist_64.npz"):
        find_adapter("auto", here).samples(here)
    chest = find_adapter("auto", here)
    first = chest.samples(here, file="chestmnist_64.npz")[0]
    assert (len(first.labels), first.labels["cardiomegaly"], chest.labels["hernia"].kind) == (14, 1, "binary")
    with pytest.raises(DatasetError, match=r"no file 'chestmnist.npz'.*chestmnist_64.npz"):
        find_adapter("auto", here).samples(here, file="chestmnist.npz")


def test_medmnist_refuses(here: Path) -> None:
    np.savez(here / "pathmnist.npz", train_images=np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(ManifestError, match="no readable array 'train_labels'"):
        find_adapter("auto", here).samples(here)
    write_mnist(here / "pneumoniamnist.npz", columns=1, classes=6)
    with pytest.raises(ManifestError, match="labels up to 5, expected 2 classes from 0"):
        find_adapter("auto", here).samples(here, file="pneumoniamnist.npz")
    write_mnist(here / "pathmnist.npz", columns=1, classes=2, kind=np.float32)
    with pytest.raises(ManifestError, match=r"type float32; expected \[n, 1\]"):
        find_adapter("auto", here).samples(here, file="pathmnist.npz")


def test_other_sets_of_like_names_stay_folders(here: Path) -> None:
    np.savez(here / "mnist.npz", x_train=np.zeros((3, 28, 28), np.uint8))
    assert find_adapter("auto", here).name == "folder"
    (here / "imagesTr").mkdir()
    (here / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0}}))
    assert find_adapter("auto", here).name == "folder"  # nnU-Net's own


def test_a_damaged_file_is_told(here: Path) -> None:
    (here / "pathmnist.npz").write_bytes(b"")
    with pytest.raises(ManifestError, match="no readable array 'train_labels'"):
        find_adapter("auto", here).samples(here)
