"""Choose the range of intensities an image keeps, say where it came from, and map it onto 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import Shaped

from vesalius.errors import ConfigError, UnreadableImageError, nearest
from vesalius.records.sample import Window

__all__ = [
    "PERCENTILES",
    "WindowRequest",
    "apply_window",
    "check_request",
    "choose_window",
    "percentile_range",
    "reflect",
]

WindowRequest: TypeAlias = str | tuple[int | float, int | float]
"""`auto`, `header`, `bits`, `percentiles`, `range`, or (low, high) in the file's own units."""

PERCENTILES = (0.1, 99.9)
"""Robust ends for images whose range nobody states: markers, dead pixels and hot borders fall outside."""

_WORDS = ("auto", "header", "bits", "percentiles", "range")
_SAMPLE = 2**22


def check_request(request: WindowRequest) -> None:
    """Refuse a window that is neither a known word nor a rising pair of finite numbers.

    Raises:
        ConfigError: Names what arrived and the nearest known word.
    """
    if isinstance(request, str):
        if request not in _WORDS:
            raise ConfigError(
                f"window {request!r} is not one of {', '.join(_WORDS)} or a pair (low, high){nearest(request, _WORDS)}"
            )
        return
    if len(request) != 2 or not all(np.isfinite(request)) or request[0] >= request[1]:
        raise ConfigError(f"window {request!r} is not a pair (low, high) of finite numbers with low < high")


def percentile_range(pixels: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the `PERCENTILES` of the pixels, or their extremes where the two percentiles fall together.

    16-bit integers are counted exactly; of other dtypes with over four million values, every n-th is looked at.
    """
    flat = pixels.reshape(-1)
    if flat.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)} and flat.size > 4096:
        cumulated = np.cumsum(np.bincount(flat))
        ranks = [np.floor(p / 100 * (flat.size - 1)) for p in PERCENTILES]
        low, high = (float(np.searchsorted(cumulated, rank, side="right")) for rank in ranks)
    else:
        sample = flat[:: -(-flat.size // _SAMPLE)]
        low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
    if low >= high:
        return float(flat.min()), float(flat.max())
    return low, high


def choose_window(
    path: Path,
    pixels: npt.NDArray[Any],
    *,
    request: WindowRequest = "auto",
    header: tuple[float, float] | None = None,
    stated: tuple[float, float] | None = None,
    sample: npt.NDArray[Any] | None = None,
) -> Window:
    """Choose the window of one image.

    `auto` takes, in this order: the header's window, unless it leaves the image without any contrast; the range of
    the stated bits (12 in a 16-bit file); the full range of an 8-bit image; else the 0.1 and 99.9 percentiles.

    Args:
        path: The file, for the error message.
        pixels: `[height, width]` or `[height, width, 3]`, in the file's units.
        request: See `WindowRequest`.
        header: (low, high) of the window that the header gives, in the file's units.
        stated: (low, high) of the stated bits, where they are fewer than the container's.
        sample: Pixels that the percentiles are taken of, where not all of `pixels` (no padding, the whole volume).

    Raises:
        ConfigError: The request is no window.
        UnreadableImageError: The window asked for is not in the file.
    """
    check_request(request)
    if not isinstance(request, str):
        return Window(low=float(request[0]), high=float(request[1]), source="user")
    if request == "header" and header is None:
        raise UnreadableImageError(path, "no window in the header", "Ask for window=auto, bits or percentiles")
    if header is not None and (request == "header" or (request == "auto" and _keeps_contrast(pixels, header))):
        return Window(low=header[0], high=header[1], source="header")
    if request == "bits" and stated is None and pixels.dtype.kind not in "bui":
        raise UnreadableImageError(path, "no bit depth stated", "Ask for window=auto or percentiles")
    if stated is not None and request in {"auto", "bits"}:
        return Window(low=stated[0], high=stated[1], source="bits")
    whole = _whole_range(pixels)
    if whole is not None and (request == "bits" or (request == "auto" and pixels.dtype.itemsize == 1)):
        return Window(low=whole[0], high=whole[1], source="range" if request == "auto" else "bits")
    if request == "range":
        low, high = whole or (float(pixels.min()), float(pixels.max()))
        return Window(low=low, high=high, source="range")
    low, high = percentile_range(pixels if sample is None or sample.size == 0 else sample)
    return Window(low=low, high=high, source="percentiles")


def apply_window(
    pixels: Shaped[np.ndarray, "height width *channels"], window: Window, *, bits: int = 8
) -> Shaped[np.ndarray, "height width *channels"]:
    """Map `[low, high]` linearly onto `[0, 2**bits - 1]`, rounding to nearest and clamping outside.

    Args:
        pixels: Any integer or floating dtype, in the window's units.
        window: The range to keep; `low == high` is a threshold.
        bits: 8 or 16.

    Returns:
        uint8 or uint16 of the same shape. 8-bit pixels under the full 8-bit range come back as they are.

    Raises:
        ConfigError: `bits` is neither 8 nor 16.
    """
    if bits not in {8, 16}:
        raise ConfigError(f"bits is {bits!r}; a store holds 8 or 16")
    out = np.dtype(np.uint8 if bits == 8 else np.uint16)
    if pixels.dtype == out and window.low == 0 and window.high == 2**bits - 1:
        return pixels
    if pixels.dtype == np.bool_:
        pixels = pixels.view(np.uint8)
    kind, width = pixels.dtype.kind, pixels.dtype.itemsize
    if kind in "ui" and (width == 1 or (width == 2 and pixels.size >= 2**15)):
        # A table of every value the dtype has; signed values index it through their bit pattern.
        unsigned = np.dtype(f"u{width}")
        codes = np.arange(2 ** (8 * width), dtype=unsigned)
        native = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
        table = _scale(codes.view(native.dtype), window, out)
        return np.asarray(table[native.view(unsigned)])
    return _scale(pixels, window, out)


def reflect(pixels: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
    """Turn dark into bright and the reverse, mirroring the intensities at the middle of the window, which stays.

    Returns:
        int32 where integers stay integers (32-bit unsigned and 64-bit ones do not fit), else float32.
    """
    total = float(window.low) + float(window.high)
    if pixels.dtype.kind in "ui" and pixels.dtype.str[1:] in ("u1", "i1", "u2", "i2", "i4") and total.is_integer():
        return np.asarray(int(total) - pixels.astype(np.int64), np.int32)
    return np.asarray(total - pixels.astype(np.float64), np.float32)


def _scale(values: npt.NDArray[Any], window: Window, out: np.dtype[Any]) -> npt.NDArray[Any]:
    top = float(np.iinfo(out).max)
    exact = np.float32 if out.itemsize == 1 and values.dtype == np.float32 else np.float64
    if window.high <= window.low:
        return np.asarray((values > window.low).astype(out) * out.type(top))
    scaled: Any = values.astype(exact)
    scaled -= exact(window.low)
    scaled *= exact(top / (window.high - window.low))
    scaled += exact(0.5)
    return np.asarray(np.clip(scaled, 0, top + 0.25, out=scaled).astype(out))


def _keeps_contrast(pixels: npt.NDArray[Any], window: tuple[float, float]) -> bool:
    low, high = float(pixels.min()), float(pixels.max())
    return low == high or (low < window[1] and high > window[0])


def _whole_range(pixels: npt.NDArray[Any]) -> tuple[float, float] | None:
    if pixels.dtype.kind == "b":
        return 0.0, 1.0
    if pixels.dtype.kind in "ui":
        limits = np.iinfo(pixels.dtype)
        return float(limits.min), float(limits.max)
    return None
