from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.data.windows import apply_window, check_request, choose_window, percentile_range, reflect
from vesalius.errors import ConfigError, UnreadableImageError
from vesalius.records.sample import Window

FILE = Path("scan")
DTYPES = [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64]


def window(low: float, high: float) -> Window:
    return Window(low=float(low), high=float(high), source="user")


@settings(deadline=None, max_examples=60)
@given(
    low=st.integers(-2000, 2000),
    width=st.integers(1, 70000),
    bits=st.sampled_from([8, 16]),
    dtype=st.sampled_from([np.int32, np.float32, np.float64]),
)
def test_monotone_and_ends_reach_zero_and_full_scale(low: int, width: int, bits: int, dtype: type) -> None:
    values = np.linspace(low - 50, low + width + 50, 512).astype(dtype).reshape(2, 256)
    values[0, 0], values[1, -1] = low, low + width
    out = apply_window(values, window(low, low + width), bits=bits)
    assert out.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert out[0, 0] == 0
    assert out[1, -1] == 2**bits - 1
    order = np.argsort(values, axis=None)
    assert (np.diff(out.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", [8, 256])
@pytest.mark.parametrize("bits", [8, 16])
def test_equals_the_formula_for_every_dtype_and_both_code_paths(dtype: type, side: int, bits: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 127, (side, side)).astype(dtype)
    if np.dtype(dtype).itemsize > 1:
        pixels = (pixels * 200).astype(dtype)
    if np.dtype(dtype).kind != "u":
        pixels = -pixels
    low, high = float(pixels.min()) + 10, float(pixels.max()) - 3
    top = 2**bits - 1
    expected = np.clip((pixels.astype(np.float64) - low) * top / (high - low), 0, top)
    out = apply_window(pixels, window(low, high), bits=bits)
    # Half a level of rounding, and the float32 of the 8-bit path.
    assert np.abs(out.astype(np.float64) - expected).max() <= 0.5001


def test_big_endian_pixels_are_read_as_numbers() -> None:
    pixels = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)
    chosen = window(0, 65535)
    np.testing.assert_array_equal(apply_window(pixels.astype(">u2"), chosen), apply_window(pixels, chosen))


def test_nothing_saturates_inside_the_window() -> None:
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    out = apply_window(pixels, window(0, 4095), bits=16)
    assert len(np.unique(out)) == 4096
    assert apply_window(pixels, window(0, 4095)).max() == 255
    assert (apply_window(pixels, window(0, 4095)) == 255).sum() <= 16


def test_a_window_without_width_is_a_threshold() -> None:
    pixels = np.array([[1, 2, 3]], np.int32)
    np.testing.assert_array_equal(apply_window(pixels, window(2, 2)), [[0, 0, 255]])


def test_full_range_bytes_come_back_as_they_are() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert apply_window(pixels, window(0, 255)) is pixels


def test_percentiles_of_16_bits_equal_numpys_lower_ones() -> None:
    pixels = np.random.default_rng(1).normal(3000, 500, (300, 300)).astype(np.uint16)
    low, high = percentile_range(pixels)
    expected = np.percentile(pixels, (0.1, 99.9), method="lower")
    assert (low, high) == tuple(expected)


def test_percentiles_that_fall_together_give_the_extremes() -> None:
    pixels = np.zeros((300, 300), np.uint16)
    pixels[0, 0] = 9
    assert percentile_range(pixels) == (0.0, 9.0)


def test_auto_prefers_header_then_bits_then_range_then_percentiles() -> None:
    wide = np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.uint16)
    chosen = choose_window(FILE, wide, header=(100.0, 200.0), stated=(0.0, 4095.0))
    assert (chosen.low, chosen.high, chosen.source) == (100, 200, "header")
    assert choose_window(FILE, wide, stated=(0.0, 4095.0)).source == "bits"
    assert choose_window(FILE, wide).source == "percentiles"
    narrow = choose_window(FILE, wide.astype(np.uint8))
    assert (narrow.low, narrow.high, narrow.source) == (0, 255, "range")


def test_auto_leaves_a_header_window_that_shows_nothing() -> None:
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) + 1000
    assert choose_window(FILE, pixels, header=(0.0, 100.0)).source == "percentiles"
    assert choose_window(FILE, pixels, header=(0.0, 100.0), request="header").source == "header"


def test_explicit_requests() -> None:
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    assert choose_window(FILE, pixels, request=(3, 9)).source == "user"
    full = choose_window(FILE, pixels, request="range")
    assert (full.low, full.high) == (0, 65535)
    assert choose_window(FILE, pixels, request="percentiles", header=(1.0, 2.0)).source == "percentiles"
    with pytest.raises(UnreadableImageError, match="no window in the header"):
        choose_window(FILE, pixels, request="header")
    with pytest.raises(UnreadableImageError, match="no bit depth"):
        choose_window(FILE, pixels.astype(np.float32), request="bits")


@pytest.mark.parametrize("bad", ["percentile", (5, 5), (9, 1), (0, float("nan"))])
def test_requests_that_are_no_window(bad: str | tuple[float, float]) -> None:
    with pytest.raises(ConfigError):
        check_request(bad)
    if bad == "percentile":
        with pytest.raises(ConfigError, match="did you mean 'percentiles'"):
            check_request(bad)


def test_only_8_or_16_bits() -> None:
    with pytest.raises(ConfigError, match="8 or 16"):
        apply_window(np.zeros((8, 8), np.uint8), window(0, 1), bits=12)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "i4"])
def test_reflecting_keeps_the_window_and_turns_bright_into_dark(dtype: str) -> None:
    pixels = np.arange(120, dtype=dtype).reshape(10, 12)
    turned = reflect(pixels, window(10, 110))
    assert turned.dtype == np.int32
    np.testing.assert_array_equal(turned, 120 - pixels.astype(int))
    halves = reflect(pixels, window(0.5, 3))
    assert halves.dtype == np.float32
    np.testing.assert_array_equal(halves, 3.5 - pixels.astype(float))


def test_reflecting_large_unsigned_values_does_not_wrap() -> None:
    pixels = np.array([[0, 2**32 - 1]], dtype=np.uint32)
    turned = reflect(pixels, window(0, 2**32 - 1))
    np.testing.assert_allclose(turned, [[2**32 - 1, 0]])
