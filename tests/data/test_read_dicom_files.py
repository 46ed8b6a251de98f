"""DICOM: pydicom's own files against pydicom's own chain, whole and damaged."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data.data_manager import DATA_ROOT
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

from vesalius.data.read import count_frames, read_image
from vesalius.data.windows import apply_window
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import DecodedImage

ROOT = Path(DATA_ROOT)
FILES = sorted(p for p in ROOT.rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"})
NOT_DECODED_BY_PYDICOM = {"JPEG-lossy.dcm", "JPGExtended.dcm"}


def attempt(path: Path) -> tuple[DecodedImage | None, str]:
    """The image, or the message it was refused with; anything else that is raised fails the test."""
    try:
        return read_image(path), ""
    except UnreadableImageError as error:
        return None, str(error)


def reference(path: Path, frame: int) -> tuple[np.ndarray, Dataset] | None:
    """What pydicom makes of the file: modality values or RGB; None where it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(path, force=True)
            pixels = pydicom.pixels.pixel_array(ds, index=frame)
            if ds.PhotometricInterpretation == "PALETTE COLOR":
                return apply_color_lut(pixels, ds)[..., :3], ds
            return (apply_modality_lut(pixels, ds) if pixels.ndim == 2 else pixels), ds
        except (AttributeError, ValueError, TypeError, KeyError, RuntimeError, NotImplementedError, EOFError):
            return None


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_pydicoms_own_files_decode_right_or_are_refused_by_name(path: Path) -> None:
    image, refusal = attempt(path)
    if image is None:
        assert path.name in refusal
        found = reference(path, 0)
        small = found is not None and min(found[0].shape[:2]) < 8
        assert found is None or small, "pydicom can decode what was refused"
        return
    frame = image.frames - 1
    image = read_image(path, frame=frame) if frame else image
    found = reference(path, frame)
    if path.name in NOT_DECODED_BY_PYDICOM:
        assert found is None
        # 12-bit JPEG of the scan that JPEG2000.dcm holds too; both lossy, so only close.
        other = read_image(path.with_name("JPEG2000.dcm")).pixels
        assert np.corrcoef(image.pixels.ravel(), other.ravel())[0, 1] > 0.95
        return
    assert found is not None
    expected, ds = found
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        np.testing.assert_array_equal(image.pixels, expected >> 8)
        return
    if ds.PhotometricInterpretation == "MONOCHROME1":
        assert image.inverted
        expected = image.window.low + image.window.high - expected
    keep = np.ones(expected.shape, bool)
    if "PixelPaddingValue" in ds:
        keep = pydicom.pixels.pixel_array(ds, index=frame) != ds.PixelPaddingValue
    np.testing.assert_allclose(image.pixels[keep], expected[keep], rtol=1e-6)
    if image.window.source == "header":
        _compare_windowed(image, ds, frame, keep)


def _compare_windowed(image: Any, ds: Dataset, frame: int, keep: np.ndarray) -> None:
    """Our 16-bit window against pydicom's float one, brought to the same scale."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shown = apply_voi_lut(apply_modality_lut(pydicom.pixels.pixel_array(ds, index=frame), ds), ds)
    low = 0.0 if ds.PixelRepresentation == 0 else -(2.0 ** (ds.BitsStored - 1))
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    y_min, y_range = low * slope + intercept, (2.0**ds.BitsStored - 1) * slope
    unit = (shown - y_min) / y_range
    unit = 1 - unit if image.inverted else unit
    got = apply_window(image.pixels, image.window, bits=16)
    assert np.abs(got - unit * 65535)[keep].max() < 1


def test_count_frames_of_every_file_agrees_or_is_refused() -> None:
    counted = 0
    for path in FILES:
        try:
            frames = count_frames(path)
        except UnreadableImageError:
            continue
        counted += 1
        assert frames >= 1
    assert counted > 90
    assert count_frames(ROOT / "test_files" / "rtdose.dcm") == 15
    assert count_frames(ROOT / "test_files" / "examples_ybr_color.dcm") == 30


def test_bytes_flipped_anywhere_never_escape(tmp_path: Path) -> None:
    rng, decoded = np.random.default_rng(0), 0
    for name in ("MR_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm"):
        whole = np.frombuffer((ROOT / "test_files" / name).read_bytes(), np.uint8)
        for _ in range(12):
            broken = whole.copy()
            broken[rng.integers(132, min(len(whole), 3000), 6)] = rng.integers(0, 256, 6)
            (tmp_path / "a.dcm").write_bytes(broken.tobytes())
            image, refusal = attempt(tmp_path / "a.dcm")
            decoded += image is not None
            assert image is not None or "a.dcm" in refusal
    assert 0 < decoded < 36
