"""ACDC, COVIDGR and a folder of ISIC: layouts, slices of volumes, what is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from vesalius.data.adapters.registry import find_adapter
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store


def write_patient(folder: Path, number: int, *, slices: int, seed: int) -> None:
    """Two frames, a square ventricle one column to the right in each further slice; a cine beside."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for frame in (1, 12):
        volume = generator.integers(0, 200, (24, 20, slices)).astype(np.int16)
        labels = np.zeros((24, 20, slices), dtype=np.uint8)
        for one in range(slices):
            labels[8:12, 4 + one : 8 + one, one] = 3
        stem = f"patient{number:03d}_frame{frame:02d}"
        affine = np.diag([1.5, 1.5, 10.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(volume, affine), folder / f"{stem}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / f"{stem}_gt.nii.gz")
    (folder / f"patient{number:03d}_4d.nii.gz").write_bytes(b"a cine")
    (folder / "Info.cfg").write_text("ED: 1\nES: 12\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\n")


def test_acdc(tmp_path: Path) -> None:
    write_patient(tmp_path / "acdc/training/patient001", 1, slices=3, seed=0)
    write_patient(tmp_path / "acdc/testing/patient101", 101, slices=2, seed=1)
    (tmp_path / "acdc/testing/patient101/patient101_frame12_gt.nii.gz").unlink()
    adapter = find_adapter("auto", tmp_path / "acdc")
    assert adapter.name == "acdc"
    samples = adapter.samples(tmp_path / "acdc")
    assert [(s.patient, s.study, s.frame, s.split) for s in samples] == [
        ("patient101", "patient101_frame01", 0, "test"),
        ("patient101", "patient101_frame01", 1, "test"),
        ("patient101", "patient101_frame12", 0, "test"),
        ("patient101", "patient101_frame12", 1, "test"),
        *(("patient001", f"patient001_frame{frame}", one, "train") for frame in ("01", "12") for one in range(3)),
    ]
    assert {sample.labels["systole"] for sample in samples if sample.study.endswith("12")} == {1}
    assert {sample.labels["group"] for sample in samples} == {2}
    assert any("2 cine files" in note for note in adapter.notes)
    assert any("patient101_frame12_gt" in note for note in adapter.notes)
    prepare(tmp_path / "acdc", tmp_path / "store", size=24, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    assert len(store) == 10
    names = store.info["arrays"]["masks"]["parts"]
    assert set(names) == {"background", "left_ventricle", "right_ventricle", "myocardium"}
    table = store.manifest
    assert (table["split"] == "test").tolist() == table["source"].str.startswith("testing/").tolist()
    row = int(np.flatnonzero((table["split"] != "test") & (table["frame"] == 2))[0])
    inside = store.masks[np.array([row])][0] == names.index("left_ventricle")
    assert inside.sum() == 16
    assert table.loc[table["source"].str.contains("patient101_frame12"), "has_masks"].eq(False).all()


def test_covidgr(here: Path) -> None:
    for name in ("P/p1.jpg", "N/n1.jpg"):
        (here / name).parent.mkdir()
        (here / name).touch()
    adapter = find_adapter("auto", here)
    assert adapter.name == "covidgr"
    assert [(one.path.stem, one.labels["covid"]) for one in adapter.samples(here)] == [("n1", 0), ("p1", 1)]


@pytest.mark.real
def test_acdc_here(real_data: Path) -> None:
    found = find_adapter("auto", real_data / "acdc").samples(real_data / "acdc")
    frames = {sample.patient: {one.source for one in found if one.patient == sample.patient} for sample in found}
    assert len(frames) == 32
    assert all(len(files) == 2 and all(patient in file for file in files) for patient, files in frames.items())
    assert len(found) == 568
    assert all(sample.masks["@labelmap"].is_file() for sample in found)
    assert len({(sample.source, sample.frame) for sample in found}) == 568


@pytest.mark.real
def test_isic_here(real_data: Path) -> None:
    """A folder of pictures with a table beside them."""
    adapter = find_adapter("auto", real_data / "isic_uda1")
    found = adapter.samples(real_data / "isic_uda1")
    assert (adapter.name, len(found)) == ("folder", 557)
    for label, kinds in (("benign_malignant", ("benign", "malignant")), ("diagnosis", ("melanoma", "nevus"))):
        assert adapter.labels[label].classes == kinds
        assert {sample.labels[label] for sample in found} <= {0, 1, None}
