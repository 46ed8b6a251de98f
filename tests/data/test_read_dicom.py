"""DICOM: what pydicom's own files do not cover, on data sets made here."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid

from vesalius.data.read import count_frames, read_image, sniff
from vesalius.data.windows import apply_window
from vesalius.errors import UnreadableImageError

STORED = np.random.default_rng(0).integers(0, 4096, (24, 32)).astype(np.uint16)


def dataset(pixels: np.ndarray = STORED, *, bits: int = 12, **tags: Any) -> Dataset:
    """A minimal CR image; `tags` by keyword, None removes one."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", generate_uid()
    ds.Modality, ds.PatientID, ds.ViewPosition = "CR", "P1", "PA"
    ds.Rows, ds.Columns = pixels.shape[-2:] if pixels.shape[-1] != 3 else pixels.shape[-3:-1]
    ds.SamplesPerPixel = 3 if pixels.shape[-1] == 3 else 1
    ds.PhotometricInterpretation = "RGB" if ds.SamplesPerPixel == 3 else "MONOCHROME2"
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * pixels.dtype.itemsize, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def save(ds: Dataset, path: Path, *, syntax: str = ExplicitVRLittleEndian, preamble: bool = True) -> Path:
    ds = copy.deepcopy(ds)
    if preamble:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(path, enforce_file_format=True)
    else:
        implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        ds.save_as(path, implicit_vr=implicit, little_endian=little)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_no_preamble_and_no_meta(tmp_path: Path, syntax: str) -> None:
    path = save(dataset(), tmp_path / "a", syntax=syntax, preamble=False)
    assert sniff(path) == "dicom"
    np.testing.assert_array_equal(read_image(path).pixels, STORED)


def test_12_bits_without_a_window_use_the_stated_bits(tmp_path: Path) -> None:
    image = read_image(save(dataset(), tmp_path / "a.dcm"))
    assert (image.window.low, image.window.high, image.window.source, image.bits) == (0, 4095, "bits", 12)
    assert (image.header["PatientID"], image.header["ViewPosition"]) == ("P1", "PA")


def test_monochrome1_becomes_brighter_is_denser(tmp_path: Path) -> None:
    image = read_image(save(dataset(PhotometricInterpretation="MONOCHROME1"), tmp_path / "a.dcm"))
    assert image.inverted
    np.testing.assert_array_equal(image.pixels, 4095 - STORED.astype(int))
    shape = read_image(save(dataset(PresentationLUTShape="INVERSE"), tmp_path / "b.dcm"))
    np.testing.assert_array_equal(shape.pixels, image.pixels)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_dark_and_not_counted(tmp_path: Path, photometric: str) -> None:
    pixels = np.random.default_rng(1).integers(1000, 2000, (64, 64)).astype(np.uint16)
    pixels[:20] = 0
    ds = dataset(pixels, bits=16, PhotometricInterpretation=photometric, PixelPaddingValue=0)
    image = read_image(save(ds, tmp_path / "a.dcm"))
    shown = apply_window(image.pixels, image.window)
    assert shown[:20].max() == 0
    assert shown[20:].std() > 50
    assert 900 < image.window.low < image.window.high < 2100
    assert "1280 padding pixels" in image.header["notes"]


def test_linear_exact_and_sigmoid(tmp_path: Path) -> None:
    tags = {"WindowCenter": 2000, "WindowWidth": 1000}
    exact = read_image(save(dataset(**tags, VOILUTFunction="LINEAR_EXACT"), tmp_path / "a.dcm"))
    assert (exact.window.low, exact.window.high) == (1500, 2500)
    linear = read_image(save(dataset(**tags), tmp_path / "b.dcm"))
    assert (linear.window.low, linear.window.high) == (1500, 2499)
    sigmoid = read_image(save(dataset(**tags, VOILUTFunction="SIGMOID"), tmp_path / "c.dcm"))
    assert (sigmoid.window.low, sigmoid.window.high, sigmoid.window.source) == (0, 1, "header")
    np.testing.assert_allclose(sigmoid.pixels, 1 / (1 + np.exp(-4 * (STORED - 2000.0) / 1000)), atol=1e-6)
    asked = read_image(tmp_path / "c.dcm", window="percentiles")
    np.testing.assert_array_equal(asked.pixels, STORED)


@pytest.mark.parametrize(("depth", "words"), [(8, "u1"), (8, "<u2"), (12, "<u2"), (16, "<u2")])
def test_voi_lut_goes_before_the_window(tmp_path: Path, depth: int, words: str) -> None:
    item = Dataset()
    item.LUTDescriptor = [3000, 100, depth]
    table = ((2**depth - 1) * np.sqrt(np.arange(3000) / 2999)).astype(np.uint16)
    item.add_new("LUTData", "OW", table.astype(words).tobytes())
    ds = dataset(WindowCenter=10, WindowWidth=20)
    ds.VOILUTSequence = [item]
    path = save(ds, tmp_path / "a.dcm")
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, table[np.clip(STORED.astype(int) - 100, 0, 2999)])
    assert (image.window.low, image.window.high, image.window.source) == (0, 2**depth - 1, "header")
    if depth > 8:
        np.testing.assert_array_equal(image.pixels, apply_voi_lut(STORED, pydicom.dcmread(path)))


def test_modality_lut_and_rescale(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "US"
    table = np.arange(4096)[::-1] * 10
    item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
    ds = dataset()
    ds.ModalityLUTSequence = [item]
    np.testing.assert_array_equal(read_image(save(ds, tmp_path / "a.dcm")).pixels, table[STORED])
    scaled = read_image(save(dataset(RescaleSlope=0.5, RescaleIntercept=-3), tmp_path / "b.dcm"))
    np.testing.assert_allclose(scaled.pixels, STORED * 0.5 - 3)
    assert (scaled.window.low, scaled.window.high) == (-3, 4095 * 0.5 - 3)


def test_signed_12_bits(tmp_path: Path) -> None:
    pixels = STORED.astype(np.int16) - 2048
    image = read_image(save(dataset(pixels), tmp_path / "a.dcm"))
    np.testing.assert_array_equal(image.pixels, pixels)
    assert (image.window.low, image.window.high) == (-2048, 2047)


@pytest.mark.parametrize("signed", [False, True])
def test_high_bit_above_bits_stored_is_shifted_and_overlays_dropped(tmp_path: Path, signed: bool) -> None:
    words = (STORED << 4) | np.uint16(0b0101)
    ds = dataset(words, bits=12, HighBit=15, PixelRepresentation=int(signed))
    image = read_image(save(ds, tmp_path / "a.dcm"))
    expected = np.where(STORED >= 2048, STORED.astype(int) - 4096, STORED) if signed else STORED
    np.testing.assert_array_equal(image.pixels, expected)


def test_bits_above_bits_stored_do_not_count(tmp_path: Path) -> None:
    image = read_image(save(dataset(STORED | np.uint16(0x8000)), tmp_path / "a.dcm"))
    np.testing.assert_array_equal(image.pixels, STORED)


def test_missing_optional_tags(tmp_path: Path) -> None:
    missing = dict.fromkeys(("PhotometricInterpretation", "HighBit", "PixelRepresentation", "PatientID"))
    image = read_image(save(dataset(**missing), tmp_path / "a.dcm"))
    np.testing.assert_array_equal(image.pixels, STORED)
    assert "PatientID" not in image.header
    assert "PhotometricInterpretation" in image.header["notes"]


def test_float_pixels_and_nan(tmp_path: Path) -> None:
    floats = np.random.default_rng(0).normal(size=(24, 32)).astype(np.float32)
    ds = dataset(PixelData=None, BitsAllocated=32, BitsStored=32, HighBit=31)
    ds.FloatPixelData = floats.tobytes()
    np.testing.assert_allclose(read_image(save(ds, tmp_path / "a.dcm")).pixels, floats)
    floats[0, 0] = np.nan
    ds.FloatPixelData = floats.tobytes()
    with pytest.raises(UnreadableImageError, match="not finite: 1 of 768"):
        read_image(save(ds, tmp_path / "b.dcm"))


@pytest.mark.parametrize("planar", [0, 1])
def test_planar_configuration(tmp_path: Path, planar: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    ds = dataset(rgb, bits=8, PlanarConfiguration=planar)
    if planar:
        ds.PixelData = np.moveaxis(rgb, -1, 0).tobytes()
    np.testing.assert_array_equal(read_image(save(ds, tmp_path / "a.dcm")).pixels, rgb)


def test_one_frame_of_many(tmp_path: Path) -> None:
    frames = np.stack([STORED + k for k in range(5)]).astype(np.uint16)
    path = save(dataset(frames, bits=13, NumberOfFrames=5), tmp_path / "a.dcm")
    assert count_frames(path) == 5
    image = read_image(path, frame=3)
    assert (image.frame, image.frames) == (3, 5)
    np.testing.assert_array_equal(image.pixels, frames[3])
    with pytest.raises(UnreadableImageError, match="no frame 5: the file holds 5"):
        read_image(path, frame=5)


def test_a_large_multi_frame_file_is_not_decoded_whole(tmp_path: Path) -> None:
    import tracemalloc

    frames = np.random.default_rng(0).integers(0, 4096, (64, 256, 256)).astype(np.uint16)
    path = save(dataset(frames, NumberOfFrames=64), tmp_path / "a.dcm")
    read_image(path, frame=1)
    tracemalloc.start()
    read_image(path, frame=63)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * frames[0].nbytes * 2 < frames.nbytes / 4


def test_functional_groups_of_enhanced_files(tmp_path: Path) -> None:
    ds = dataset(np.stack([STORED, STORED]), NumberOfFrames=2)
    shared, measures, groups = Dataset(), Dataset(), []
    measures.PixelSpacing = [0.4, 0.3]
    shared.PixelMeasuresSequence = [measures]
    for k in (1, 2):
        group, voi, rescale = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = 1000 * k, 500, "LINEAR_EXACT"
        rescale.RescaleSlope, rescale.RescaleIntercept = k, -k
        group.FrameVOILUTSequence, group.PixelValueTransformationSequence = [voi], [rescale]
        groups.append(group)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], groups
    image = read_image(save(ds, tmp_path / "a.dcm"), frame=1)
    np.testing.assert_allclose(image.pixels, STORED * 2.0 - 2)
    assert (image.window.low, image.window.high) == (1750, 2250)
    assert image.spacing_mm == (0.4, 0.3)


@pytest.mark.parametrize("name", ["ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_spacing_falls_back(tmp_path: Path, name: str) -> None:
    image = read_image(save(dataset(**{name: [0.2, 0.1]}), tmp_path / "a.dcm"))
    assert image.spacing_mm == (0.2, 0.1)
    assert name in image.header["notes"]


def test_header_window_that_shows_nothing_is_left_and_told(tmp_path: Path) -> None:
    image = read_image(save(dataset(WindowCenter=60000, WindowWidth=10), tmp_path / "a.dcm"))
    assert image.window.source == "bits"
    assert "header window ignored" in image.header["notes"]


@pytest.mark.parametrize("width", [0, -5])
def test_invalid_window_width(tmp_path: Path, width: int) -> None:
    assert read_image(save(dataset(WindowCenter=60, WindowWidth=width), tmp_path / "a.dcm")).window.source == "bits"


def test_absurd_header_is_refused_before_decoding(tmp_path: Path) -> None:
    ds = dataset(Rows=65535, Columns=65535)
    with pytest.raises(UnreadableImageError, match="too large: the header says 65535 x 65535"):
        read_image(save(ds, tmp_path / "a.dcm"))


def test_a_codestream_larger_than_its_header_is_refused(tmp_path: Path) -> None:
    jpeg = b"\xff\xd8\xff\xc0\x00\x0b\x08" + (60000).to_bytes(2, "big") * 2 + b"\x01\x01\x11\x00" + b"\xff\xd9"
    j2k = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + (100_000).to_bytes(4, "big") * 2 + bytes(40)
    for stream, syntax in ((jpeg, "1.2.840.10008.1.2.4.50"), (j2k, "1.2.840.10008.1.2.4.90")):
        ds = dataset(STORED.astype(np.uint8), bits=8)
        ds.PixelData = encapsulate([stream])
        ds["PixelData"].is_undefined_length = True
        with pytest.raises(UnreadableImageError, match="too large: the compressed image says"):
            read_image(save(ds, tmp_path / "a.dcm", syntax=syntax))


def test_damaged_streams(tmp_path: Path) -> None:
    ds = dataset()
    ds.PixelData = encapsulate([b"\x00" * 80])
    ds["PixelData"].is_undefined_length = True
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        read_image(save(ds, tmp_path / "a.dcm", syntax=RLELossless))
    whole = save(dataset(), tmp_path / "b.dcm").read_bytes()
    for share in (0.2, 0.5, 0.9, 0.99):
        (tmp_path / "c.dcm").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableImageError):
            read_image(tmp_path / "c.dcm")
