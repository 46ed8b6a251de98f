"""Read PNG, JPEG, TIFF, BMP and GIF files without losing bits: 16-bit gray and colour stay 16 bits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from vesalius.data.limits import check_frame, check_size
from vesalius.data.quiet import quiet
from vesalius.data.windows import WindowRequest, choose_window
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import DecodedImage

__all__ = ["apply_orientation", "count_raster_frames", "drop_alpha", "read_raster", "stated_range"]

_ORIENTATION = 0x0112
_OPENERS = {"png": ("PNG",), "jpeg": ("JPEG", "MPO"), "bmp": ("BMP",), "gif": ("GIF",), "tiff": ("TIFF",)}


def read_raster(
    path: Path, kind: str, *, frame: int = 0, window: WindowRequest = "auto", codes: bool = False
) -> DecodedImage:
    """Read one image (or one frame of an animated one) with Pillow.

    Gray palettes become gray, other palettes RGB; transparency is laid over black; CMYK and YCbCr become RGB; the EXIF
    orientation is applied. The bits that PNG's sBIT states are taken as `bits`.

    Args:
        path: The file.
        kind: `png`, `jpeg`, `bmp`, `gif` or `tiff`, from the file's content.
        frame: Frame of an animated file or page of a TIFF.
        window: See `vesalius.data.windows`.
        codes: Give a palette's codes in place of its colours; a gray one's values are its grays.

    Raises:
        UnreadableImageError: Truncated, damaged, too large or too small.
    """
    with _opened(path, kind) as image:
        frames = 1 if kind == "jpeg" else int(getattr(image, "n_frames", 1))
        check_frame(path, frame, frames)
        if frame:
            image.seek(frame)
        check_size(path, *image.size)
        pixels, bits, notes = _pixels(path, image, codes)
        orientation = int(image.getexif().get(_ORIENTATION, 1)) if kind != "gif" else 1
    stated = None
    if pixels.dtype == np.uint16 and kind == "png":
        bits = _significant_bits(path) or 16
        stated = stated_range(pixels, bits)
    elif bits == 1:
        stated = (0.0, 1.0)
    pixels = apply_orientation(pixels, orientation)
    return DecodedImage(
        pixels=pixels,
        window=choose_window(path, pixels, request=window, stated=stated),
        bits=bits,
        frame=frame,
        frames=frames,
        header={"notes": "; ".join(notes)} if notes else {},
    )


def count_raster_frames(path: Path, kind: str) -> int:
    """Return how many frames the file holds; a JPEG holds one, whatever previews it carries."""
    if kind == "jpeg":
        return 1
    with _opened(path, kind) as image:
        return int(getattr(image, "n_frames", 1))


def stated_range(pixels: npt.NDArray[Any], bits: int) -> tuple[float, float] | None:
    """Return the range of `bits` stated bits in a 16-bit container, or None where they say nothing new.

    Writers differ: some leave the values as they are, others shift them to the top of the container (PNG asks for
    that). Values above `2**bits - 1` tell the second kind, which uses the whole range.
    """
    if not 0 < bits < 16:
        return None
    top = 2**bits - 1
    return (0.0, float(top if int(pixels.max()) <= top else 65535))


def apply_orientation(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn the pixels upright by the EXIF / TIFF orientation (1 to 8; others are taken as upright)."""
    if orientation in {5, 6, 7, 8}:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def drop_alpha(pixels: npt.NDArray[Any], notes: list[str]) -> npt.NDArray[Any]:
    """Lay `[height, width, 2 or 4]` over black and return it without its alpha channel (gray or RGB)."""
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    top = np.iinfo(pixels.dtype).max
    if alpha.min() != top:
        notes.append("transparency laid over black")
        colour = np.rint(colour * (alpha / top)).astype(pixels.dtype)
    return np.ascontiguousarray(colour[..., 0] if colour.shape[-1] == 1 else colour)


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Image.Image]:
    """Open with the decoder of the sniffed kind only; what Pillow says of bombs and damage becomes a refusal."""
    with quiet("PIL"):
        # check_size sets the limit; Pillow warns from 89 million pixels on and refuses from 179 million.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with _nothing_cut_short(), Image.open(path, formats=_OPENERS[kind]) as image:
                yield image
        except Image.DecompressionBombError as error:
            raise UnreadableImageError(
                path, f"too large: {error}", "Shrink or tile it first; such a header can also be an attack"
            ) from error
        except EOFError as error:
            raise UnreadableImageError(path, "truncated: the file ends too early", "Copy it again") from error
        except (OSError, SyntaxError, ValueError) as error:
            word = "truncated" if "truncated" in str(error) or "Truncated" in str(error) else "damaged"
            raise UnreadableImageError(path, f"{word} {kind.upper()} file ({error})", "Copy it again") from error


@contextmanager
def _nothing_cut_short() -> Iterator[None]:
    """Refuse files that end too early, whatever other packages say: some let Pillow fill them up everywhere."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _pixels(path: Path, image: Image.Image, codes: bool) -> tuple[npt.NDArray[Any], int, list[str]]:
    """Return (pixels, bits, notes) in the file's own depth."""
    notes: list[str] = []
    if codes and image.mode == "P" and not _is_gray(_palette(image)):
        return np.asarray(image), 8, notes
    wide = _sixteen_bit_colour(image)
    if wide is not None:
        return (drop_alpha(wide, notes) if wide.shape[-1] in {2, 4} else wide), 16, notes
    mode = image.mode
    if mode == "1":
        return np.asarray(image).astype(np.uint8), 1, notes
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return np.asarray(image).astype(np.uint16), 16, notes
    if mode in {"I", "F"}:
        return np.asarray(image), 32, notes
    return _eight_bit(path, image, notes), 8, notes


def _eight_bit(path: Path, image: Image.Image, notes: list[str]) -> npt.NDArray[Any]:
    mode = image.mode
    if mode in {"L", "RGB"}:
        return np.asarray(image)
    if mode == "P" and "transparency" not in image.info:
        return _from_palette(image)
    if mode in {"LA", "La"}:
        return drop_alpha(np.asarray(image.convert("LA")), notes)
    if mode in {"P", "PA", "RGBA", "RGBa"}:
        return drop_alpha(np.asarray(image.convert("RGBA")), notes)
    if mode in {"CMYK", "YCbCr", "LAB", "HSV", "RGBX"}:
        notes.append(f"{mode} converted to RGB")
        return np.asarray(image.convert("RGB"))
    raise UnreadableImageError(path, f"pixel format {mode!r} is not supported", "Save it as PNG, gray or RGB")


def _sixteen_bit_colour(image: Image.Image) -> npt.NDArray[Any] | None:
    """Decode 16-bit RGB, RGBA and gray + alpha, of which Pillow keeps the high bytes only.

    The same stream is unpacked twice, once taking the high and once the low byte of each sample; gray + alpha has
    four bytes a pixel and is unpacked as such. Returns None for every other file.
    """
    tiles: Any = getattr(image, "tile", None)  # only file images have tiles
    arguments = tiles[0][3] if tiles else None
    rawmode = arguments[0] if isinstance(arguments, tuple) else arguments
    if not isinstance(rawmode, str) or not rawmode.startswith(("RGB;16", "RGBA;16", "LA;16", "RGBX;16")):
        return None
    if rawmode.startswith("LA"):
        data = _unpacked(image, "RGBA")
        return np.asarray(np.ascontiguousarray(data).view(">u2").astype(np.uint16))
    base, _, order = rawmode.partition(";16")
    if order == "N":
        order = "L" if np.little_endian else "B"
    first, second = (";16B", ";16L") if order == "B" else (";16L", ";16B")
    position = image.tell()
    kept = list(tiles)
    high = _unpacked(image, base + first).astype(np.uint16)
    with Image.open(str(image.filename), formats=(str(image.format),)) as again:  # type: ignore[attr-defined]
        again.seek(position)
        _set_tiles(again, kept)
        low = _unpacked(again, base + second)
    return np.asarray((high << 8) | low)


def _unpacked(image: Image.Image, rawmode: str) -> npt.NDArray[Any]:
    changed = []
    tiles: Any = getattr(image, "tile", [])
    for codec, extents, offset, arguments in tiles:
        new = (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode
        changed.append(type(tiles[0])(codec, extents, offset, new))
    _set_tiles(image, changed)
    return np.asarray(image)


def _set_tiles(image: Any, tiles: list[Any]) -> None:
    image.tile = tiles


def _from_palette(image: Image.Image) -> npt.NDArray[Any]:
    table = _palette(image)
    return np.asarray((table[:, 0] if _is_gray(table) else table)[np.asarray(image)])


def _palette(image: Image.Image) -> npt.NDArray[np.uint8]:
    table = np.zeros((256, 3), np.uint8)
    entries = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    table[: len(entries)] = entries
    return table


def _is_gray(table: npt.NDArray[np.uint8]) -> bool:
    return bool((table == table[:, :1]).all())


def _significant_bits(path: Path) -> int | None:
    """Return the bits that a PNG's sBIT chunk states (the largest of its channels), or None."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = int.from_bytes(head[:4], "big"), head[4:]
            if name == b"sBIT" and 0 < length <= 4:
                return max(file.read(length)[: 3 if length >= 3 else 1])
            if name in {b"IDAT", b"IEND"}:
                return None
            file.seek(length + 4, 1)
    return None
