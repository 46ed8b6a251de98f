"""Read TIFF files of any sample format: 1 to 32 bits, signed, floating, planar, palette, many pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.limits import check_finite, check_frame, check_size
from vesalius.data.quiet import quiet
from vesalius.data.read_raster import apply_orientation, count_raster_frames, drop_alpha, read_raster, stated_range
from vesalius.data.windows import WindowRequest, choose_window, reflect
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import DecodedImage

__all__ = ["count_tiff_frames", "read_tiff"]

_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE = 0, 1, 2, 3
_DECODED_HERE = {1, 8, 32946, 32773}
"""Uncompressed, deflate (both codes) and PackBits; LZW, JPEG, CCITT and others go through Pillow's libtiff."""


def read_tiff(path: Path, *, frame: int = 0, window: WindowRequest = "auto") -> DecodedImage:
    """Read one page of a TIFF.

    MinIsWhite is inverted, the orientation applied, an alpha channel laid over black. Bits stated by SMaxSampleValue,
    MaxSampleValue or a BitsPerSample below the container's give the window. The resolution tags are not taken for
    a pixel spacing: they are print settings in nearly all files.

    Raises:
        UnreadableImageError: Truncated, damaged, too large or too small, or of a colour space without a meaning here.
    """
    import tifffile

    try:
        with quiet("tifffile"), tifffile.TiffFile(path) as tiff:
            frames = len(tiff.pages)
            check_frame(path, frame, frames)
            page: Any = tiff.pages[frame]
            check_size(path, page.imagewidth, page.imagelength)
            if page.samplesperpixel > 4 or page.imagedepth > 1:
                raise UnreadableImageError(
                    path,
                    f"TIFF page of {page.samplesperpixel} samples x depth {page.imagedepth} is no gray or RGB image",
                )
            _check_complete(path, page)
            here = int(page.compression) in _DECODED_HERE and int(page.predictor) in {1, 2}
            if here and int(page.photometric) <= _PALETTE:
                return _decode(path, page, frame, frames, window)
    except tifffile.TiffFileError as error:
        raise UnreadableImageError(path, f"damaged TIFF file ({error})", "Copy it again") from error
    return read_raster(path, "tiff", frame=frame, window=window)


def count_tiff_frames(path: Path) -> int:
    """Return the number of pages."""
    import tifffile

    try:
        with quiet("tifffile"), tifffile.TiffFile(path) as tiff:
            return len(tiff.pages)
    except tifffile.TiffFileError:
        return count_raster_frames(path, "tiff")


def _check_complete(path: Path, page: Any) -> None:
    """Refuse strips that end beyond the file; tifffile would fill them with zeros."""
    end = max((a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
    size = path.stat().st_size
    if not page.dataoffsets or end > size:
        raise UnreadableImageError(path, f"truncated TIFF file: {size} bytes of {end}", "Copy it again")


def _decode(path: Path, page: Any, frame: int, frames: int, window: WindowRequest) -> DecodedImage:
    pixels = page.asarray()
    notes: list[str] = []
    pixels = _channels_last(path, page, pixels)
    photometric, bits = int(page.photometric), int(np.max(page.bitspersample))
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if photometric == _PALETTE:
        table = np.asarray(page.colormap)[:, pixels].transpose(1, 2, 0)
        pixels = (table >> 8).astype(np.uint8) if page.colormap.max() > 255 else table.astype(np.uint8)
        bits = 8
    elif pixels.ndim == 3 and pixels.shape[-1] in {2, 4}:
        pixels = drop_alpha(pixels, notes) if pixels.dtype.kind == "u" else pixels[..., :-1].squeeze()
    check_finite(path, pixels)
    stated = None
    if pixels.dtype == np.uint16:
        bits = min(bits, _stated_bits(page))
        stated = stated_range(pixels, bits)
    elif pixels.dtype == np.uint8 and bits < 8:
        stated = (0.0, float(2**bits - 1))
    if pixels.dtype.itemsize == 8:
        pixels = pixels.astype(np.float32)
    chosen = choose_window(path, pixels, request=window, stated=stated)
    inverted = photometric == _MIN_IS_WHITE
    if inverted:
        pixels = reflect(pixels, chosen)
    return DecodedImage(
        pixels=apply_orientation(pixels, int(getattr(page.tags.get(274), "value", 1))),
        window=chosen,
        bits=bits,
        inverted=inverted,
        frame=frame,
        frames=frames,
        header={"notes": "; ".join(notes)} if notes else {},
    )


def _channels_last(path: Path, page: Any, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    pixels = np.squeeze(pixels) if pixels.ndim > 3 else pixels
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if pixels.shape == (samples, height, width) and samples > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    elif pixels.shape == (height, width, 1):
        pixels = pixels[..., 0]
    if pixels.shape[:2] != (height, width):
        raise UnreadableImageError(
            path, f"TIFF page of shape {pixels.shape} is no gray or RGB image", "Save its slices as pages"
        )
    return pixels


def _stated_bits(page: Any) -> int:
    """Bits that SMaxSampleValue (341) or MaxSampleValue (281) need, 16 where neither is there."""
    for code in (341, 281):
        tag = page.tags.get(code)
        if tag is not None:
            top = float(np.max(tag.value))
            if top >= 1 and top.is_integer():
                return int(top).bit_length()
    return 16
