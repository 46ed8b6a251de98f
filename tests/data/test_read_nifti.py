"""NIfTI: whatever the order of the file's axes, the display is the same."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from vesalius.data.read import count_frames, read_image, sniff
from vesalius.errors import ConfigError, UnreadableImageError

# A head in RAS: value = 10000 x + 100 y + z, so that every voxel tells its place.
X, Y, Z = np.meshgrid(np.arange(9), np.arange(11), np.arange(13), indexing="ij")
RAS = (10000 * X + 100 * Y + Z).astype(np.int32)
SPACING = (0.5, 0.75, 2.0)
CODES = ["".join(c) for order in itertools.permutations(("RL", "AP", "SI")) for c in itertools.product(*order)]


def save(path: Path, values: np.ndarray, affine: np.ndarray, kind: type = nibabel.Nifti1Image) -> Path:
    nibabel.save(kind(values, affine), path)
    return path


def reoriented(codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same head stored with other axes, with the affine that says so."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-20, 5, 9)
    transform = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    return apply_orientation(RAS, transform), affine @ inv_ornt_aff(transform, RAS.shape)


@settings(deadline=None, max_examples=48)
@given(codes=st.sampled_from(CODES))
def test_every_storage_order_gives_the_same_display(tmp_path_factory: pytest.TempPathFactory, codes: str) -> None:
    path = save(tmp_path_factory.mktemp("n") / "a.nii", *reoriented(codes))
    axial = read_image(path, frame=4, axis="axial")
    # Row 0 is the most anterior, column 0 the patient's right.
    np.testing.assert_array_equal(axial.pixels, RAS[::-1, ::-1, 4].T)
    assert axial.spacing_mm == pytest.approx((0.75, 0.5))
    assert axial.frames == 13
    assert axial.header["axes"] == codes
    coronal = read_image(path, frame=3, axis="coronal")
    np.testing.assert_array_equal(coronal.pixels, RAS[::-1, 3, ::-1].T)
    assert coronal.spacing_mm == pytest.approx((2.0, 0.5))
    sagittal = read_image(path, frame=2, axis="sagittal")
    np.testing.assert_array_equal(sagittal.pixels, RAS[2, ::-1, ::-1].T)
    assert sagittal.spacing_mm == pytest.approx((2.0, 0.75))
    by_number = codes.index("S") if "S" in codes else codes.index("I")
    np.testing.assert_array_equal(read_image(path, frame=4, axis=by_number).pixels, axial.pixels)
    assert [count_frames(path, axis=a) for a in ("sagittal", "coronal", "axial")] == [9, 11, 13]


def test_left_is_on_the_right_and_anterior_on_top(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", *reoriented("LPS"))
    pixels = read_image(path, frame=0).pixels
    assert pixels[0, 0] // 10000 == 8, "column 0 is the patient's right: the largest x of RAS"
    assert pixels[0, 0] % 10000 // 100 == 10, "row 0 is anterior: the largest y"


def test_identity_affine_says_nothing_of_spacing(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.nii.gz", RAS, np.eye(4)), frame=1)
    assert image.spacing_mm is None
    assert "identity affine" in image.header["notes"]


def test_four_dimensions_two_dimensions_and_nifti2(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2, 2, 1])
    path = save(tmp_path / "a.nii.gz", np.stack([RAS, RAS + 7, RAS + 9], -1), affine)
    assert count_frames(path) == 13
    assert read_image(path, volume=2).pixels[0, 0] == read_image(path).pixels[0, 0] + 9
    with pytest.raises(UnreadableImageError, match="no volume 3: the file holds 3"):
        read_image(path, volume=3)
    flat = save(tmp_path / "b.nii", RAS[:, :, 0], affine)
    assert count_frames(flat) == 1
    np.testing.assert_array_equal(read_image(flat).pixels, RAS[::-1, ::-1, 0].T)
    second = save(tmp_path / "c.nii", RAS, affine, nibabel.Nifti2Image)
    np.testing.assert_array_equal(read_image(second, frame=5).pixels, RAS[::-1, ::-1, 5].T)


def test_scaled_values_header_window_and_volume_percentiles(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(RAS.astype(np.float32), np.diag([2.0, 2, 2, 1]))
    image.set_data_dtype(np.int16)
    image.header["cal_min"], image.header["cal_max"] = 100, 900
    nibabel.save(image, tmp_path / "a.nii")
    decoded = read_image(tmp_path / "a.nii", frame=3)
    np.testing.assert_allclose(decoded.pixels, RAS[::-1, ::-1, 3].T, atol=2)
    assert (decoded.window.low, decoded.window.high, decoded.window.source) == (100, 900, "header")
    path = save(tmp_path / "b.nii", RAS, np.diag([2.0, 2, 2, 1]))
    windows = {read_image(path, frame=k).window for k in range(13)}
    assert len(windows) == 1, "slices of one volume share the percentiles"


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", RAS, np.diag([2.0, 2, 2, 1]))
    odd = tmp_path / "scan.bin"
    odd.write_bytes(path.read_bytes())
    assert sniff(odd) == "nifti"
    np.testing.assert_array_equal(read_image(odd).pixels, read_image(path).pixels)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_truncated_and_lying_headers(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", np.random.default_rng(0).normal(size=RAS.shape), np.eye(4))
    data = path.read_bytes()
    for share in (0.3, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableImageError, match=r"truncated|damaged"):
            read_image(path)
    header = bytearray(gzip.decompress(data) if suffix == "nii.gz" else data)
    for side, reason in ((32000, "too large"), (700, "truncated")):
        header[40:48] = np.array([3, side, side, 300], "<i2").tobytes()
        path.write_bytes(gzip.compress(header) if suffix == "nii.gz" else bytes(header))
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(path)


def test_nan_complex_and_bad_axis(tmp_path: Path) -> None:
    values = RAS.astype(np.float32)
    values[0, 0, 0] = np.inf
    path = save(tmp_path / "a.nii", values, np.eye(4))
    with pytest.raises(UnreadableImageError, match="not finite: 1 of 99"):
        read_image(path, frame=0)
    assert read_image(path, frame=1).pixels.shape == (11, 9)
    with pytest.raises(ConfigError, match="did you mean 'axial'"):
        read_image(path, axis="axal")
    both = save(tmp_path / "c.nii", RAS.astype(np.complex64), np.eye(4))
    with pytest.raises(UnreadableImageError, match="complex64"):
        read_image(both)


@pytest.mark.real
def test_acdc_slices(real_data: Path) -> None:
    scans = sorted((real_data / "acdc").rglob("*_frame*.nii.gz"))
    plain = [p for p in scans if "_gt" not in p.name][:3]
    assert plain
    for path in plain:
        frames = count_frames(path)
        image = read_image(path, frame=frames // 2)
        assert image.frames == frames
        assert image.pixels.std() > 0
        assert "identity affine" in image.header["notes"]
