"""The one entrance: content over names, and every bad input a refusal that says what to do."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vesalius.data.fit import fit
from vesalius.data.read import FORMATS, count_frames, image_suffixes, read_image, sniff
from vesalius.data.windows import apply_window
from vesalius.errors import ConfigError, UnreadableImageError

GRAY = np.random.default_rng(0).integers(0, 256, (20, 24)).astype(np.uint8)


def reason(path: Path, **options: object) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path, **options)  # type: ignore[arg-type]
    assert path.name in str(caught.value)
    return caught.value.reason


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert sniff(tmp_path / "a.jpg") == "png"
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg").pixels, GRAY)
    (tmp_path / "b.png").write_text("patient, label\n1, 0\n" * 40)
    assert reason(tmp_path / "b.png").startswith("not an image")


def test_counting_refuses_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "zero.dcm").touch()
    (tmp_path / "text.png").write_text("no image at all, only words")
    for path in (tmp_path, tmp_path / "none.png", tmp_path / "zero.dcm", tmp_path / "text.png"):
        with pytest.raises(UnreadableImageError):
            count_frames(path)


def test_missing_empty_folder_and_text(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.png") == "no such file"
    (tmp_path / "zero.dcm").touch()
    assert reason(tmp_path / "zero.dcm") == "empty file: 0 bytes"
    (tmp_path / "folder.png").mkdir()
    assert reason(tmp_path / "folder.png") == "a folder, not a file"
    assert "cannot be read" in reason(tmp_path / ("x" * 300))


@pytest.mark.parametrize("side", [1, 7])
def test_too_small(tmp_path: Path, side: int) -> None:
    Image.fromarray(np.arange(side * 9, dtype=np.uint8).reshape(side, 9)).save(tmp_path / "a.png")
    assert reason(tmp_path / "a.png").startswith(f"too small: 9 x {side}")


@pytest.mark.parametrize("value", [0, 255])
def test_constant_images(tmp_path: Path, value: int) -> None:
    Image.fromarray(np.full((16, 16), value, np.uint8)).save(tmp_path / "a.png")
    assert reason(tmp_path / "a.png") == f"constant image: every pixel is {value}"
    assert read_image(tmp_path / "a.png", allow_constant=True).pixels.max() == value
    Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(tmp_path / "b.png")
    assert reason(tmp_path / "b.png") == f"constant image: every pixel is {[value] * 3}"


def test_one_odd_pixel_at_the_end_is_enough(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16), np.uint8)
    pixels[-1, -1] = 1
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").pixels.sum() == 1


def test_bad_options_are_the_callers_fault(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="did you mean 'dicom'"):
        read_image(tmp_path / "a.png", format="dicm")
    with pytest.raises(ConfigError, match="did you mean 'header'"):
        read_image(tmp_path / "a.png", window="haeder")


@pytest.mark.parametrize("wrong", [f for f in FORMATS if f != "png"])
def test_a_forced_format_that_does_not_fit(tmp_path: Path, wrong: str) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError):
        read_image(tmp_path / "a.png", format=wrong)


@settings(deadline=None, max_examples=150)
@given(
    start=st.sampled_from(
        [
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"GIF89a",
            b"II*\x00",
            b"MM\x00*",
            b"BM" + bytes(12) + b"\x28\x00\x00\x00",
            b"\x89HDF\r\n\x1a\n",
            b"\x93NUMPY\x01\x00",
            b"PK\x03\x04",
            b"\x1f\x8b",
            bytes(128) + b"DICM",
            b"\x08\x00\x05\x00CS\x0a\x00",
            bytes(344) + b"n+1\x00",
        ]
    ),
    rest=st.binary(max_size=300),
)
def test_rubbish_behind_every_magic_is_refused(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "rubbish"
    path.write_bytes(start + rest)
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    assert caught.value.reason
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_suffixes_are_lower_case_and_sorted() -> None:
    assert list(image_suffixes()) == sorted(image_suffixes())
    assert all(s.startswith(".") and s == s.lower() for s in image_suffixes())


def test_a_png_worker_loads_no_heavy_reader(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    code = (
        "import sys; from pathlib import Path; from vesalius.data.read import read_image; "
        f"read_image(Path({str(tmp_path / 'a.png')!r})); "
        "print([m for m in ('torch', 'pydicom', 'nibabel', 'h5py', 'tifffile') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.real
@pytest.mark.parametrize("folder", ["chest_xray", "nih1000", "jsrt", "shenzhen", "montgomery", "isic_uda1", "ph2"])
def test_real_images_reach_the_store_square(real_data: Path, folder: str) -> None:
    names = sorted(p for p in (real_data / folder).rglob("*") if p.suffix.lower() in image_suffixes())
    for path in names[:: max(1, len(names) // 5)]:
        image = read_image(path, allow_constant=True)
        square, _ = fit(apply_window(image.pixels, image.window), 64)
        assert square.shape[:2] == (64, 64)
        assert image.window.source in {"range", "bits", "percentiles"}
