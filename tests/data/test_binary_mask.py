"""Masks of one part: two values, or the grays that a seam leaves; label maps and photographs are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.binary_mask import inside_of
from vesalius.data.read import read_image
from vesalius.errors import UnreadableImageError

ROWS, COLUMNS = np.mgrid[:1024, :1024]
ORGANS = ((COLUMNS - 400) / 220) ** 2 + ((ROWS - 500) / 300) ** 2 < 1
ORGANS |= ((COLUMNS - 750) / 60) ** 2 + ((ROWS - 300) / 40) ** 2 < 1
PICTURE = Image.fromarray(ORGANS.astype(np.uint8) * 255)


def nearest(side: int) -> np.ndarray:
    return np.asarray(PICTURE.resize((side, side), Image.Resampling.NEAREST))


@pytest.mark.parametrize("side", [64, 256, 512])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
def test_an_anti_aliased_seam_is_cut_at_half(side: int, how: Image.Resampling) -> None:
    gray = np.asarray(PICTURE.resize((side, side), how))
    assert len(np.unique(gray)) > 20
    assert (inside_of(Path("a.png"), gray) != (nearest(side) > 0)).mean() < 0.02
    assert np.array_equal(inside_of(Path("a.nii"), gray / 255), gray > 127.5)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_cut_at_half(tmp_path: Path, quality: int, mode: str) -> None:
    for side in (64, 256, 1024):
        Image.fromarray(nearest(side)).convert(mode).save(tmp_path / "a.jpg", quality=quality)
        pixels = read_image(tmp_path / "a.jpg", window="range").pixels
        assert len(np.unique(pixels)) > 2
        assert (inside_of(tmp_path / "a.jpg", pixels) != (nearest(side) > 0)).mean() < 0.005


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 3000), (2, 7), (255,)])
def test_two_values_are_a_mask_whatever_they_are(values: tuple[int, ...]) -> None:
    dealt = np.asarray(values, dtype=np.uint16)[(np.arange(400).reshape(20, 20) // 7) % len(values)]
    assert np.array_equal(inside_of(Path("a.png"), dealt), dealt == max(values))


def regions(*values: float, tail: int = 200) -> np.ndarray:
    """Background, and a block of each value; the last one is `tail` pixels wide."""
    out = np.zeros((256, 256), dtype=np.asarray(values).dtype)
    for place, value in enumerate(values[:-1]):
        out[4 + 10 * place : 12 + 10 * place, 4:12] = value
    out[100:200, : min(tail, 256)] = values[-1]
    return out


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (regions(1, 2, 3).astype(np.uint8), "mask has 4 values: 0, 1, 2, 3;"),
        (regions(1.0, 2.0), "mask has 3 values: 0, 1, 2;"),
        (regions(100, 200, 300).astype(np.uint16), "mask has 4 values: 0, 100, 200, 300;"),
        (regions(128, 255).astype(np.uint8), "mask has 3 values: 0, 128, 255;"),
        (regions(15, 7, 255, tail=3).astype(np.uint8), "mask has 4 values: 0, 7, 15, 255;"),  # outlines of PASCAL VOC
        (np.arange(65536).reshape(256, 256) % 251, "mask has 251 values: 0, 1, 2, 3, 4, ...;"),
        (np.linspace(0, 1, 65536).reshape(256, 256), "mask has 65536 values: 0, "),  # of probabilities
    ],
)
def test_what_has_more_is_refused_and_the_option_told(pixels: np.ndarray, said: str) -> None:
    with pytest.raises(UnreadableImageError, match=re.escape(f"scans/m.png: {said}")) as caught:
        inside_of(Path("scans/m.png"), pixels)
    assert "--option parts=heart=1,lung=2" in str(caught.value)


def test_colours_are_values() -> None:
    red = np.zeros((64, 64, 3), dtype=np.uint8)
    red[10:30, 10:30, 0] = 255
    assert inside_of(Path("a.png"), red).sum() == 400
    red[40:50, 40:50, 1] = 255
    with pytest.raises(UnreadableImageError, match="mask has 3 colours"):
        inside_of(Path("a.png"), red)
