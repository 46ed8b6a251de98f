"""Explanations in other tools' formats keep patient, study and geometry of their source."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from vesalius import pipeline
from vesalius.data.read_nifti import read_nifti
from vesalius.errors import ConfigError, UnreadableImageError


def explain(run: Path, image: Path, **options) -> Path:
    (folder,) = pipeline.explain(run, [image], progress=False, device="cpu", **options)
    return folder


def write_dicom(path: Path, *, ct: bool) -> Path:
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2" if ct else "1.2.840.10008.5.1.4.1.1.1"
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid(), generate_uid()
    ds.Modality, ds.PatientID, ds.PatientName = ("CT" if ct else "CR"), "P1", "A^B"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20200102", "101010", "A1", "S1"
    ds.PatientSex, ds.PatientBirthDate, ds.ReferringPhysicianName = "F", "19500101", ""
    if ct:
        ds.FrameOfReferenceUID, ds.ImagePositionPatient = generate_uid(), [-10.0, 5.0, 7.0]
        ds.ImageOrientationPatient, ds.PixelSpacing, ds.SliceThickness = [1, 0, 0, 0, 1, 0], [0.5, 0.5], 2.0
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    else:
        ds.PatientOrientation = ["L", "F"]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 128, 96, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = np.random.default_rng(0).integers(0, 256, (128, 96)).astype(np.uint8).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("ct", [True, False])
def test_dicom_keeps_patient_study_and_geometry(guided_run: Path, tmp_path: Path, ct: bool) -> None:
    source = write_dicom(tmp_path / "case.dcm", ct=ct)
    folder = explain(guided_run, source, formats=["dicom-seg", "dicom-sc"])
    head = pydicom.dcmread(source)
    made, shown = pydicom.dcmread(folder / "attention_seg.dcm"), pydicom.dcmread(folder / "sheet_sc.dcm")
    for one in (made, shown):
        assert (one.PatientID, one.StudyInstanceUID, one.StudyDate) == ("P1", head.StudyInstanceUID, "20200102")
        assert one.SeriesInstanceUID != head.SeriesInstanceUID
    assert made.SOPClassUID.name == "Segmentation Storage"
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ["head 0", "heart (head 1)"]
    refers = made.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    assert refers == head.SOPInstanceUID
    assert (made.Rows, made.Columns) == (128, 96)
    if ct:
        assert made.FrameOfReferenceUID == head.FrameOfReferenceUID
        position = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
        assert list(position) == [-10.0, 5.0, 7.0]
    values = made.pixel_array / 255
    assert values.shape == (2, 128, 96)
    assert values.reshape(2, -1).max(axis=1).tolist() == [1, 1]
    attention = np.load(folder / "attention.npz")["head_0"]
    row, column = np.unravel_index(attention[:, 1:3].argmax(), (4, 2))  # the square has bars of 16 columns beside
    inside = values[0][32 * row : 32 * row + 32, 32 * column : 32 * column + 48]
    assert inside.max() > 0.5
    assert shown.SOPClassUID.name == "Secondary Capture Image Storage"
    assert shown.get("PatientOrientation", None) == head.get("PatientOrientation", None) or not shown.PatientOrientation
    assert shown.pixel_array.ndim == 3


def test_nifti_keeps_the_affine_and_geojson_the_pixels(guided_run: Path, tmp_path: Path) -> None:
    affine = np.diag([-0.5, 0.75, 2.0, 1.0])
    volume = np.random.default_rng(0).random((40, 60, 5)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "volume.nii.gz")
    folder = explain(guided_run, tmp_path / "volume.nii.gz", frame=3, formats=["nifti", "geojson"])
    made = nibabel.load(folder / "heart_head_1.nii.gz")
    np.testing.assert_array_equal(made.affine, affine)
    assert made.shape == (40, 60, 5)
    values = made.get_fdata()
    assert (values[:, :, [0, 1, 2, 4]] == 0).all()
    shown = read_nifti(folder / "heart_head_1.nii.gz", frame=3).pixels
    assert shown.shape == (60, 40)
    content = json.loads((folder / "attention.geojson").read_text())
    assert {feature["properties"]["name"] for feature in content["features"]} == {"head_0", "heart_head_1"}
    for feature in content["features"]:
        points = np.array([point for rings in feature["geometry"]["coordinates"] for ring in rings for point in ring])
        assert points.min() >= 0
        assert (points <= [40, 60]).all()
    record = json.loads((folder / "explanation.json").read_text())
    assert record["plan"]["formats"] == ["nifti", "geojson"]
    assert "heart_head_1.nii.gz" in record["pictures"]


def test_formats_that_cannot_be_written(guided_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_dicom(tmp_path / "case.dcm", ct=False)
    with pytest.raises(UnreadableImageError, match="no NIfTI file"):
        explain(guided_run, source, formats=["nifti"])
    nibabel.save(nibabel.Nifti1Image(np.random.rand(8, 8, 2).astype(np.float32), np.eye(4)), tmp_path / "v.nii")
    for name in ("dicom-seg", "dicom-sc"):
        with pytest.raises(UnreadableImageError, match="no DICOM file"):
            explain(guided_run, tmp_path / "v.nii", formats=[name], overwrite=True)
    with pytest.raises(ConfigError, match=r"no format 'geojsn'.*did you mean 'geojson'"):
        explain(guided_run, source, formats=["geojsn"])
    with pytest.raises(ConfigError, match="formats are of single images"):
        explain(guided_run, source, formats=["geojson"], figure="heads")
    head = pydicom.dcmread(source)
    for name in ("PatientBirthDate", "StudyID", "AccessionNumber", "PatientName", "StudyTime"):
        delattr(head, name)
    head.save_as(tmp_path / "anonymous.dcm")
    folder = explain(guided_run, tmp_path / "anonymous.dcm", formats=["dicom-seg", "dicom-sc"])
    assert not pydicom.dcmread(folder / "attention_seg.dcm").PatientName
    del head.StudyInstanceUID
    head.save_as(tmp_path / "bare.dcm")
    with pytest.raises(UnreadableImageError, match="lacks StudyInstanceUID"):
        explain(guided_run, tmp_path / "bare.dcm", formats=["dicom-seg"])
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ConfigError, match=r"pip install 'vesalius\[dicom-out\]'"):
        explain(guided_run, source, formats=["dicom-seg"], out=tmp_path / "other")
