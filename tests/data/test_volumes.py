"""Slices put together to volumes: what NIfTI and DICOM tell of their places, and what is no whole volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from vesalius import pipeline
from vesalius.data.read import read_image
from vesalius.data.store import Store, open_store
from vesalius.data.volumes import volumes_of

GENERATOR = np.random.default_rng(0)


def prepared(scans: Path, *, size: int = 16, **options: Any) -> Store:
    pipeline.prepare(scans, scans.with_name("store"), size=size, workers=1, progress=False, **options)
    return open_store(scans.with_name("store"))


def nifti(path: Path, *, slices: int = 5, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = GENERATOR.integers(1, 1000, (32, 24, slices)).astype(np.int16)
    image = nibabel.Nifti1Image(values, np.diag([1.5, 1.25, 8.0, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def dicom(path: Path, **tags: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"1.2.{GENERATOR.integers(10**9)}"
    ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "P1", "1.2.3", "1.2.3.4"
    ds.Modality, ds.PhotometricInterpretation, ds.SamplesPerPixel = "MR", "MONOCHROME2", 1
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 16, 12, 11, 0
    frames = int(tags.get("NumberOfFrames", 1))
    ds.PixelData = GENERATOR.integers(0, 4096, (frames, 16, 16)).astype(np.uint16).tobytes()
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(path, enforce_file_format=True)


def test_every_nifti_file_is_a_volume_of_the_stores_voxels(tmp_path: Path) -> None:
    for name in ("a", "b"):
        nifti(tmp_path / "scans" / f"{name}.nii.gz")
    store = prepared(tmp_path / "scans", frames="all")
    found = volumes_of(store, np.arange(len(store))[::-1].copy())
    assert (found.left, found.why, found.slices) == (0, "", True)
    assert [one.rows.tolist() for one in found.whole] == [list(range(5)), list(range(5, 10))]
    # The plane shows 32 columns of 1.5 mm, made 16.
    assert all(one.spacing_mm == pytest.approx((8.0, 2.5, 3.0)) for one in found.whole)
    assert store.manifest["volume"].nunique() == 2
    assert not store.manifest["volume"].isin(store.manifest["study"]).any()


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([0, 1, 3, 4, 5, 6, 7, 8, 9], "of 9 images 4 are of volumes with slices missing, unevenly apart"),
        ([2, 5, 6, 7, 8, 9], "of 6 images 1 are the only slice of their volume"),
    ],
)
def test_slices_that_are_missing(tmp_path: Path, rows: list[int], why: str) -> None:
    for name in ("a", "b"):
        nifti(tmp_path / "scans" / f"{name}.nii.gz")
    found = volumes_of(prepared(tmp_path / "scans", frames="all"), np.array(rows))
    assert [one.rows.tolist() for one in found.whole] == [list(range(5, 10))]
    assert found.left == len(rows) - 5
    assert found.why.startswith(why)


def test_files_that_tell_no_place(tmp_path: Path) -> None:
    nifti(tmp_path / "scans" / "a.nii.gz", affine=np.eye(4))
    store = prepared(tmp_path / "scans", frames="all")
    assert store.manifest["volume"].isna().all()
    found = volumes_of(store, np.arange(5))
    assert (found.whole, found.why, found.slices) == ((), "of 5 images 5 tell no position of the slice", True)


def test_older_stores_are_to_be_prepared_again(tmp_path: Path) -> None:
    nifti(tmp_path / "scans" / "a.nii.gz")
    store = prepared(tmp_path / "scans", frames="all")
    store.__dict__["manifest"] = store.manifest.drop(columns=["volume", "slice_mm"])
    found = volumes_of(store, np.arange(5))
    assert (found.whole, found.left, found.slices) == ((), 5, True)
    assert "prepared before positions of slices were kept: prepare it again" in found.why


def change(name: str, value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(**{name: np.where(table.index == 2, value, table[name])})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (change("slice_mm", 8.0), "several at one place"),
        (change("slice_mm", 17.0), "unevenly apart"),
        (change("scale_x", 3.0), "have not the size of other slices"),
        (change("spacing_x_mm", np.nan), "tell no spacing of the pixels"),
        (lambda table: table.assign(slice_mm=0.0), "several at one place"),
    ],
)
def test_what_is_no_volume(tmp_path: Path, changed: Callable[[pd.DataFrame], pd.DataFrame], why: str) -> None:
    nifti(tmp_path / "scans" / "a.nii.gz")
    store = prepared(tmp_path / "scans", frames="all")
    store.__dict__["manifest"] = changed(store.manifest.astype({"spacing_x_mm": float, "slice_mm": float}))
    found = volumes_of(store, np.arange(5))
    assert found.whole == ()
    assert why in found.why


def test_dicom_files_of_a_series_are_ordered_along_the_normal(tmp_path: Path) -> None:
    """Their names run the other way; a plane across, in the same series, is no slice of theirs."""
    tilted = [1, 0, 0, 0, 0.6, 0.8]  # normal (0, -0.8, 0.6)
    for number in range(4):
        corner = [3.0, -0.8 * 2.5 * number, 0.6 * 2.5 * number]
        spacing: dict[str, Any] = {"PixelSpacing": [0.5, 0.75], "SpacingBetweenSlices": 99}
        name = tmp_path / "scans" / f"{9 - number}.dcm"
        dicom(name, ImageOrientationPatient=tilted, ImagePositionPatient=corner, **spacing)
    across = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "ImagePositionPatient": [0, 0, 0]}
    dicom(tmp_path / "scans" / "across.dcm", PixelSpacing=[0.5, 0.75], **across)
    store = prepared(tmp_path / "scans")
    found = volumes_of(store, np.arange(5))
    assert found.why == "of 5 images 1 are the only slice of their volume"
    (volume,) = found.whole
    assert store.manifest["source"].iloc[volume.rows].tolist() == ["9.dcm", "8.dcm", "7.dcm", "6.dcm"]
    assert volume.spacing_mm == pytest.approx((2.5, 0.5, 0.75))


def test_dicom_without_positions_counts_by_its_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        dicom(tmp_path / "scans" / f"{number}.dcm", PixelSpacing=[1, 1], SpacingBetweenSlices=4, InstanceNumber=number)
    dicom(tmp_path / "scans" / "stack.dcm", PixelSpacing=[1, 1], SpacingBetweenSlices=-6, NumberOfFrames=3)
    found = volumes_of(prepared(tmp_path / "scans", frames="all"), np.arange(6))
    assert [one.spacing_mm[0] for one in found.whole] == [4, 6]
    assert [one.rows.tolist() for one in found.whole] == [[0, 1, 2], [3, 4, 5]]


def test_frames_have_their_own_planes(tmp_path: Path) -> None:
    """An enhanced file: two stacks across one another."""
    items = []
    for place in range(4):
        item, orientation, position = Dataset(), Dataset(), Dataset()
        across = place >= 2
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 0, -1] if across else [1, 0, 0, 0, 1, 0]
        position.ImagePositionPatient = [0, 3 * place, 0] if across else [0, 0, 5 * place]
        item.PlaneOrientationSequence, item.PlanePositionSequence = [orientation], [position]
        items.append(item)
    dicom(tmp_path / "a.dcm", NumberOfFrames=4, PerFrameFunctionalGroupsSequence=items)
    read = [read_image(tmp_path / "a.dcm", frame=frame) for frame in range(4)]
    assert [one.slice_mm for one in read] == [0, 5, 6, 9]
    assert read[0].stack == read[1].stack != read[2].stack == read[3].stack


@pytest.mark.parametrize("tags", [{}, {"SpacingBetweenSlices": 0, "InstanceNumber": 1}, {"SpacingBetweenSlices": 3}])
def test_dicom_that_tells_nothing(tmp_path: Path, tags: dict[str, Any]) -> None:
    dicom(tmp_path / "a.dcm", **tags)
    assert read_image(tmp_path / "a.dcm").slice_mm is None
