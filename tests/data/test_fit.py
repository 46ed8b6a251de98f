from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vesalius.data.fit import fit, fit_mask, placement
from vesalius.errors import ConfigError

MODES = ["pad", "crop", "crop:0.6", "squash"]
side = st.integers(8, 300)


@settings(deadline=None, max_examples=60)
@given(width=side, height=side, size=st.integers(16, 128), mode=st.sampled_from(MODES), data=st.data())
def test_a_ramp_tells_every_pixels_source_column_and_row(
    width: int, height: int, size: int, mode: str, data: st.DataObject
) -> None:
    # A linear ramp survives a symmetric resampling filter away from the border, but for the ripple of its few taps:
    # the value of a pixel is the source coordinate it came from.
    along_x = np.tile(np.arange(width, dtype=np.float32) + 0.5, (height, 1))
    along_y = np.tile((np.arange(height, dtype=np.float32) + 0.5)[:, None], (1, width))
    got_x, place = fit(along_x, size, mode)
    got_y, _ = fit(along_y, size, mode)
    assert got_x.shape == (size, size)
    column, row = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    x, y = place.to_source(column + 0.5, row + 0.5)
    margin_x, margin_y = 3 * max(1, place.scale_x), 3 * max(1, place.scale_y)
    if margin_x <= x <= width - margin_x and 0 < y < height:
        assert got_x[row, column] == pytest.approx(x, abs=0.06 * max(1, place.scale_x))
    if margin_y <= y <= height - margin_y and 0 < x < width:
        assert got_y[row, column] == pytest.approx(y, abs=0.06 * max(1, place.scale_y))
    assert place.to_store(x, y) == pytest.approx((column + 0.5, row + 0.5))


@settings(deadline=None, max_examples=60)
@given(width=side, height=side, size=st.integers(16, 128), mode=st.sampled_from(MODES))
def test_placement_covers_what_its_mode_promises(width: int, height: int, size: int, mode: str) -> None:
    place = placement(width, height, size, mode)
    left, top = place.to_source(0.0, 0.0)
    right, bottom = place.to_source(float(size), float(size))
    if mode == "squash":
        assert (left, top, right, bottom) == pytest.approx((0, 0, width, height))
    elif mode.startswith("crop"):
        shorter = min(width, height) * (0.6 if mode == "crop:0.6" else 1)
        assert (right - left, bottom - top) == pytest.approx((shorter, shorter))
        assert (left + right, top + bottom) == pytest.approx((width, height))
    else:
        assert left <= 1e-9
        assert top <= 1e-9
        assert right >= width - 1e-9
        assert bottom >= height - 1e-9
        # Aspect kept to the whole pixel that bars are made of.
        for side_, scale in ((width, place.scale_x), (height, place.scale_y)):
            shown = side_ / scale
            assert shown == pytest.approx(round(shown))
            assert abs(shown - side_ * size / max(width, height)) <= 0.5 + 1e-9 or round(shown) == 1


@settings(deadline=None, max_examples=40)
@given(width=side, height=side, size=st.integers(16, 128), mode=st.sampled_from(MODES))
def test_mask_takes_the_pixel_its_centre_falls_into(width: int, height: int, size: int, mode: str) -> None:
    codes = (np.arange(width * height).reshape(height, width) + 1).astype(np.int32)
    out = fit_mask(codes, size, mode)
    place = placement(width, height, size, mode)
    for column, row in [(0, 0), (size // 2, size // 3), (size - 1, size - 1)]:
        x, y = place.to_source(column + 0.5, row + 0.5)
        if 0 <= x < width and 0 <= y < height:
            # Sums of floats may fall on either side of an exact pixel edge.
            near = {
                codes[min(int(y + e), height - 1), min(int(x + f), width - 1)] for e in (0, 1e-6) for f in (0, 1e-6)
            }
            assert out[row, column] in near | {codes[int(y), int(x)]}
        else:
            assert out[row, column] == 0


def test_16_bits_lie_within_one_level_of_a_float64_computation() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (97, 131)).astype(np.uint16)
    for size in (48, 200):
        out, _ = fit(pixels, size, "squash")
        expected = np.clip(_bicubic(_bicubic(pixels.astype(np.float64), size).T, size).T, 0, 65535)
        assert np.abs(out - expected).max() <= 1.0
    # Nothing is clipped at 255 and nothing wraps: the extremes of a checkerboard stay extremes.
    assert fit(np.full((40, 20), 65535, np.uint16), 32, "squash")[0].min() == 65535


def _bicubic(values: np.ndarray, size: int) -> np.ndarray:
    """Antialiased bicubic (a = -0.5) along the last axis, in float64, from its definition."""
    n = values.shape[1]
    scale = n / size
    support = max(scale, 1.0)
    out = np.empty((values.shape[0], size))
    for i in range(size):
        centre = (i + 0.5) * scale
        t = np.abs((np.arange(n) + 0.5 - centre) / support)
        near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
        weight = np.where(t < 1, near, np.where(t < 2, far, 0))
        out[:, i] = values @ weight / weight.sum()
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_dtype_and_channels_are_kept(dtype: type, channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (40, 60, *channels)).astype(dtype)
    out, _ = fit(pixels, 32)
    assert out.shape == (32, 32, *channels)
    assert out.dtype == dtype
    assert (out[:5] == 0).all()
    assert out[8:24].max() > 100


def test_colour_16_bits_equals_its_channels_one_by_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 60, 3)).astype(np.uint16)
    whole, _ = fit(pixels, 32, "crop")
    for c in range(3):
        np.testing.assert_array_equal(whole[..., c], fit(pixels[..., c], 32, "crop")[0])


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    assert fit(pixels, 32)[0] is pixels


def test_shrinking_averages_instead_of_skipping() -> None:
    pixels = np.zeros((256, 256), np.uint8)
    pixels[::2] = 255
    out, _ = fit(pixels, 32)
    assert np.abs(out[2:-2].astype(int) - 127).max() <= 2
    assert np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST)).std() in (0.0, 127.5)


def test_slivers_and_bad_options() -> None:
    assert fit(np.ones((8, 3000), np.uint8), 16)[0].shape == (16, 16)
    with pytest.raises(ConfigError, match="did you mean 'crop'"):
        fit(np.zeros((8, 8), np.uint8), 16, "croop")
    with pytest.raises(ConfigError, match=r"'pad:0\.5' is not one of"):
        fit(np.zeros((8, 8), np.uint8), 16, "pad:0.5")
    for share in ("0", "1.5", "half", "nan", ""):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            fit(np.zeros((8, 8), np.uint8), 16, f"crop:{share}")
    with pytest.raises(ConfigError, match="apply the window"):
        fit(np.zeros((8, 8), np.int32), 16)
    with pytest.raises(ConfigError, match="below 1"):
        placement(8, 8, 0)
