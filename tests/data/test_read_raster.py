"""PNG, JPEG, BMP, GIF and TIFF: the depth in the file is the depth in memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from vesalius.data.read import count_frames, read_image
from vesalius.data.read_raster import read_raster
from vesalius.data.windows import apply_window
from vesalius.errors import UnreadableImageError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 24)).astype(np.uint8)
RGB = RNG.integers(0, 256, (20, 24, 3)).astype(np.uint8)
GRAY16 = RNG.integers(0, 65536, (20, 24)).astype(np.uint16)
RGB16 = RNG.integers(0, 65536, (20, 24, 3)).astype(np.uint16)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(pixels: np.ndarray, colour: int, *, sbit: bytes = b"", filtered: bool = False) -> bytes:
    """A PNG of 16-bit samples written by its specification, with filter None or Sub."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    if filtered:
        previous = np.zeros_like(rows)
        previous[:, 2 * samples :] = rows[:, : -2 * samples]
        rows = rows - previous
    raw = b"".join(bytes([int(filtered)]) + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    extra = chunk(b"sBIT", sbit) if sbit else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif"])
def test_8_bit_gray_is_exact(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(GRAY).save(path)
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, GRAY)
    assert (image.window.source, image.window.high, image.bits) == ("range", 255, 8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_8_bit_colour_is_exact(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).save(path)
    np.testing.assert_array_equal(read_image(path).pixels, RGB)


def test_jpeg_gray_and_cmyk(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").pixels.astype(int) - smooth).max() < 6
    cmyk = Image.fromarray(smooth).convert("RGB").convert("CMYK")
    cmyk.save(tmp_path / "c.jpg", quality=95)
    image = read_image(tmp_path / "c.jpg")
    assert image.pixels.shape == (64, 64, 3)
    assert np.abs(image.pixels[..., 1].astype(int) - smooth).max() < 8
    assert "CMYK" in image.header["notes"]


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_16_bit_png_keeps_every_bit(tmp_path: Path, colour: int, filtered: bool) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    pixels = RNG.integers(0, 65536, (20, 24, channels)).astype(np.uint16)
    if colour in {4, 6}:
        pixels[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(png(pixels.squeeze(), colour, filtered=filtered))
    image = read_image(tmp_path / "a.png")
    expected = pixels[..., 0] if colour in {0, 4} else pixels[..., :3]
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.window.source == "percentiles"


def test_16_bit_does_not_saturate(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(16, 0)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", window="range")
    assert len(np.unique(apply_window(image.pixels, image.window))) == 256


def test_transparency_is_laid_over_black(tmp_path: Path) -> None:
    pixels = np.full((10, 10, 4), 65535, np.uint16)
    pixels[:5, :, 3] = 0
    (tmp_path / "a.png").write_bytes(png(pixels, 6))
    image = read_image(tmp_path / "a.png")
    assert image.pixels[0].max() == 0
    assert image.pixels[-1].min() == 65535
    assert "transparency" in image.header["notes"]


@pytest.mark.parametrize(("shift", "high"), [(0, 4095), (4, 65535)])
def test_12_bits_stated_by_sbit(tmp_path: Path, shift: int, high: int) -> None:
    pixels = (RNG.integers(0, 4096, (20, 24)) << shift).astype(np.uint16)
    pixels[0, 0] = 4095 << shift
    (tmp_path / "a.png").write_bytes(png(pixels, 0, sbit=b"\x0c"))
    image = read_image(tmp_path / "a.png")
    assert (image.bits, image.window.source, image.window.low, image.window.high) == (12, "bits", 0, high)
    assert read_image(tmp_path / "a.png", window="percentiles").window.source == "percentiles"


def test_12_bits_stated_by_tiff(tmp_path: Path) -> None:
    pixels = (GRAY16 >> 4).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(281, "H", 1, 4095, True)])
    image = read_image(tmp_path / "a.tif")
    assert (image.bits, image.window.source, image.window.high) == (12, "bits", 4095)


def test_palettes_gray_stays_gray_and_one_bit_stays_one(tmp_path: Path) -> None:
    gray = Image.fromarray(GRAY).convert("P")
    gray.putpalette([v for i in range(256) for v in (255 - i,) * 3])
    gray.save(tmp_path / "g.png")
    codes = np.asarray(gray)
    np.testing.assert_array_equal(read_image(tmp_path / "g.png").pixels, 255 - codes)
    colour = Image.fromarray(GRAY).convert("P")
    colour.putpalette([v for i in range(256) for v in (i, 0, 255 - i)])
    colour.save(tmp_path / "c.png")
    expected = np.stack([np.asarray(colour), 0 * GRAY, 255 - np.asarray(colour)], -1)
    np.testing.assert_array_equal(read_image(tmp_path / "c.png").pixels, expected)
    Image.fromarray(GRAY > 100).save(tmp_path / "b.png")
    image = read_image(tmp_path / "b.png")
    np.testing.assert_array_equal(image.pixels, GRAY > 100)
    assert (image.bits, image.window.high) == (1, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_brings_the_scene_upright(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((64, 96), np.uint8)
    upright[:32, :48] = 250
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = read_image(tmp_path / "a.jpg").pixels
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 3
    tifffile.imwrite(tmp_path / "a.tif", np.ascontiguousarray(undo), extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, upright)


@pytest.mark.parametrize("compression", [None, "zlib", "packbits", "lzw", "tiff_lzw"])
@pytest.mark.parametrize("pixels", [GRAY, RGB, GRAY16, RGB16])
def test_tiff_depths_and_compressions(tmp_path: Path, pixels: np.ndarray, compression: str | None) -> None:
    if compression in {"lzw", "tiff_lzw"}:
        if pixels is RGB16:
            pytest.skip("no LZW writer for 16-bit colour without imagecodecs")
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    elif compression == "packbits":
        Image.fromarray(GRAY).save(tmp_path / "a.tif", compression="packbits")
        pixels = GRAY
    else:
        tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression)
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bit_colour_through_libtiff_too(tmp_path: Path, byteorder: str, alpha: bool) -> None:
    # LZW and JPEG files take this way; deflate, which tifffile can write, goes through the same code of Pillow.
    opaque = np.full((20, 24, 1), 65535, np.uint16)
    pixels = np.concatenate([RGB16, opaque], -1) if alpha else RGB16
    extra = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="zlib", byteorder=byteorder, **extra)
    np.testing.assert_array_equal(read_raster(tmp_path / "a.tif", "tiff").pixels, RGB16)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, RGB16)


def test_tiff_float_planar_pages_and_polarity(tmp_path: Path) -> None:
    floats = RNG.normal(size=(20, 24)).astype(np.float32)
    tifffile.imwrite(tmp_path / "f.tif", floats)
    np.testing.assert_array_equal(read_image(tmp_path / "f.tif").pixels, floats)
    tifffile.imwrite(tmp_path / "p.tif", np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif").pixels, RGB16)
    tifffile.imwrite(tmp_path / "m.tif", np.stack([GRAY, GRAY[::-1]]), photometric="minisblack")
    assert count_frames(tmp_path / "m.tif") == 2
    second = read_image(tmp_path / "m.tif", frame=1)
    assert (second.frame, second.frames) == (1, 2)
    np.testing.assert_array_equal(second.pixels, GRAY[::-1])
    with pytest.raises(UnreadableImageError, match="no frame 2: the file holds 2"):
        read_image(tmp_path / "m.tif", frame=2)
    tifffile.imwrite(tmp_path / "w.tif", GRAY, photometric="miniswhite")
    image = read_image(tmp_path / "w.tif")
    assert image.inverted
    np.testing.assert_array_equal(apply_window(image.pixels, image.window), 255 - GRAY)
    broken = floats.copy()
    broken[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "n.tif", broken)
    with pytest.raises(UnreadableImageError, match="not finite: 1 of 480"):
        read_image(tmp_path / "n.tif")


def test_animated_gif_frames(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((16, 16), v, np.uint8)) for v in (10, 200)]
    for frame in frames:
        frame.putpixel((0, 0), 99)
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert count_frames(tmp_path / "a.gif") == 2
    pixels = read_image(tmp_path / "a.gif", frame=1).pixels
    assert pixels[5, 5].max() == 200


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_refused(
    tmp_path: Path, suffix: str, share: float, lenient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever other libraries in the process tell Pillow to let pass."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RNG.integers(0, 256, (64, 64)).astype(np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    assert any(word in caught.value.reason for word in ("truncated", "damaged"))


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100_001))
    (tmp_path / "a.png").write_bytes(data + chunk(b"IEND", b""))
    with pytest.raises(UnreadableImageError, match="too large"):
        read_image(tmp_path / "a.png")
    head = struct.pack(">IIBBBBB", 13_000, 12_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")
    (tmp_path / "b.png").write_bytes(data + chunk(b"IEND", b""))
    with pytest.raises(UnreadableImageError, match="too large: the header says 13000 x 12000"):
        read_image(tmp_path / "b.png")
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "c.bmp").write_bytes(bmp)
    with pytest.raises(UnreadableImageError, match="too large"):
        read_image(tmp_path / "c.bmp")


def test_a_tiff_bomb_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        for name in ("ImageWidth", "ImageLength"):
            tiff.pages[0].tags[name].overwrite(100_000, dtype="I")
    with pytest.raises(UnreadableImageError, match="too large: the header says 100000 x 100000"):
        read_image(tmp_path / "a.tif")
