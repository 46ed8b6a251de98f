"""Decoding a chunk of files: what the worker processes of `prepare` do. Imports neither torch nor pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.fit import Placement, fit
from vesalius.data.frames import ARRAY_FORMATS, frame_count
from vesalius.data.masks import read_masks
from vesalius.data.read import read_image, sniff
from vesalius.data.windows import WindowRequest, apply_window
from vesalius.errors import ConfigError, UnreadableImageError
from vesalius.records.sample import DecodedImage, Sample

__all__ = ["DecodeOptions", "DecodedChunk", "decode_chunk", "is_colourful"]

_COLOURFUL = 0.01
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """Everything that shapes the stored pixels.

    Attributes:
        size: Side of the stored square.
        bits: 8 or 16.
        fit: `pad`, `crop`, `crop:SHARE` or `squash`.
        channels: 1 or 3; colour becomes gray by luminance, gray becomes three equal channels.
        window: See `vesalius.data.windows`.
        frames: `first` or `middle` frame of a file; `given` or `all` for the one its sample names; `auto` for that of
            array files and the middle one of others.
        parts: What the values of the masks mean; empty for a set without masks.
        mask_values: Value in a label-map file to part name.
        on_top: Parts drawn after all others, in this order.
    """

    size: int
    bits: int
    fit: str
    channels: int
    window: WindowRequest
    frames: str = "given"
    parts: tuple[str, ...] = ()
    mask_values: Mapping[int, str] = field(default_factory=dict)
    on_top: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedChunk:
    """What came of a chunk.

    Attributes:
        images: `[n, size, size]` or `[n, size, size, 3]`.
        masks: `[n, size, size]`; no rows where the set has no masks.
        records: What is known of each row, plain types; those named `header_` are in clear.
        refused: file, frame, reason, advice of what could not be read.
    """

    images: npt.NDArray[Any]
    masks: npt.NDArray[np.uint8]
    records: list[dict[str, Any]]
    refused: list[dict[str, Any]]


def decode_chunk(first: int, samples: Sequence[Sample], options: DecodeOptions) -> DecodedChunk:
    """Decode, window and resize some samples; a frame that fails is refused with its reason and the rest goes on.

    Args:
        first: Number of the first sample in the whole list; records carry their sample's number.
        samples: The images: one frame of a file each.
        options: How to decode them.
    """
    images: list[npt.NDArray[Any]] = []
    masks: list[npt.NDArray[np.uint8]] = []
    records: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, start=first):
        frame: int | None = None
        try:
            file_sha256 = _file_sha256(sample.path)
            frame = _frame(sample, options.frames)
            image, mask, record = _decode(sample, frame, options, refused)
            images.append(image)
            masks.append(mask)
            records.append({"sample": number, "frame": frame, "sha256": file_sha256, **record})
        except UnreadableImageError as error:
            refused.append(_refusal(sample, frame, error.reason, error.advice))
        except ConfigError:
            raise
        except MemoryError:
            refused.append(_refusal(sample, frame, "not enough memory to decode", "Use fewer workers"))
        except Exception as error:  # noqa: BLE001 - one strange file must not end a run of a hundred thousand
            reason = f"unexpected {type(error).__name__}: {error}"
            refused.append(_refusal(sample, frame, reason, "Please report it with the kind of file"))
    row = (options.size, options.size) if options.channels == 1 else (options.size, options.size, 3)
    dtype = np.uint8 if options.bits == 8 else np.uint16
    return DecodedChunk(
        images=np.stack(images) if images else np.empty((0, *row), dtype=dtype),
        masks=np.stack(masks) if masks else np.empty((0, options.size, options.size), dtype=np.uint8),
        records=records,
        refused=refused,
    )


def is_colourful(pixels: npt.NDArray[Any], *, full_scale: int) -> bool:
    """Whether the channels of `[height, width, 3]` pixels differ by more than 1 % of full scale on average.

    Many radiographs are saved as RGB with three equal channels, or with the faint tint of a JPEG; they are gray.
    """
    if pixels.ndim != 3 or _equal_channels(pixels):
        return False
    red, green, blue = (pixels[..., channel] for channel in range(3))  # reducing over an axis of three is slow
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return bool(spread.mean() > _COLOURFUL * full_scale)


def _equal_channels(pixels: npt.NDArray[Any]) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())


def _frame(sample: Sample, which: str) -> int:
    if which in ("given", "all") or (which == "auto" and sniff(sample.path) in ARRAY_FORMATS):
        return sample.frame
    return 0 if which == "first" else frame_count(sample) // 2


def _decode(
    sample: Sample, frame: int, options: DecodeOptions, refused: list[dict[str, Any]]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8], dict[str, Any]]:
    decoded = read_image(sample.path, frame=frame, window=options.window, **sample.reader)
    pixels = decoded.pixels
    if pixels.ndim == 3 and _equal_channels(pixels):
        pixels = np.ascontiguousarray(pixels[..., 0])  # the same picture in RGB has the same hash and the same row
    windowed = apply_window(pixels, decoded.window, bits=options.bits)
    colour = is_colourful(windowed, full_scale=2**options.bits - 1)
    image, placement = fit(_to_channels(windowed, options.channels), options.size, options.fit)
    mask, has_masks = np.zeros((options.size, options.size), dtype=np.uint8), False
    if sample.masks or sample.outlines:
        try:
            mask = _masks(sample, frame, decoded, placement, options)
            has_masks = True
        except UnreadableImageError as error:
            advice = f"{error.advice}. The image is kept without masks"
            refused.append(_refusal(sample, frame, f"its mask ({error.path.name}): {error.reason}", advice))
    spacing_y, spacing_x = decoded.spacing_mm or (None, None)
    record = {
        "source": sample.source,
        "frames": decoded.frames,
        "volumes": int(decoded.header.get("volumes", "1")),
        "pixel_sha256": _pixel_sha256(pixels),
        "original_width": pixels.shape[1],
        "original_height": pixels.shape[0],
        "spacing_x_mm": spacing_x,
        "spacing_y_mm": spacing_y,
        "slice_mm": decoded.slice_mm,
        "scale_x": placement.scale_x,
        "scale_y": placement.scale_y,
        "offset_x": placement.offset_x,
        "offset_y": placement.offset_y,
        "window_low": float(decoded.window.low),
        "window_high": float(decoded.window.high),
        "window_source": decoded.window.source,
        "bits": decoded.bits,
        "inverted": bool(decoded.inverted),
        "colour": colour,
        "has_masks": has_masks,
        **_whose(decoded),
    }
    return image, mask, record


def _masks(
    sample: Sample, frame: int, decoded: DecodedImage, placement: Placement, options: DecodeOptions
) -> npt.NDArray[np.uint8]:
    return read_masks(
        sample.mask_files,
        parts=options.parts,
        values=options.mask_values,
        on_top=options.on_top,
        shape=(decoded.pixels.shape[0], decoded.pixels.shape[1]),
        frame=frame,
        frames=decoded.frames,
        placement=placement,
        size=options.size,
        axis=sample.reader.get("axis", "axial"),
        image=sample.path,
        outlines=sample.outlines,
    )


def _whose(decoded: DecodedImage) -> dict[str, str]:
    header = decoded.header
    return {
        "header_patient": header.get("PatientID", "").strip(),
        "header_study": header.get("StudyInstanceUID", "").strip(),
        "header_stack": decoded.stack,
    }


def _to_channels(pixels: npt.NDArray[Any], channels: int) -> npt.NDArray[Any]:
    if channels == 3:
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim == 2:
        return pixels
    gray = pixels.astype(np.float32) @ np.asarray(_LUMINANCE, dtype=np.float32)
    return np.rint(gray).astype(pixels.dtype)


def _pixel_sha256(pixels: npt.NDArray[Any]) -> str:
    """Hash shape, type and values, in either byte order."""
    native = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    digest = hashlib.sha256(f"{native.dtype.name} {native.shape}".encode())
    digest.update(native.data)
    return digest.hexdigest()


def _file_sha256(path: Path) -> str:
    try:
        sniff(path)  # refuses what is no regular file before it is opened
        stat = path.stat()
        return _digest(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError as error:
        raise UnreadableImageError(path, "no such file", "Put it there, or take its row out of the table") from error
    except OSError as error:
        raise UnreadableImageError(path, f"cannot be opened ({error.strerror})", "Check its permissions") from error


@lru_cache(maxsize=16)
def _digest(path: Path, _modified: int, _size: int) -> str:
    """Hash a file once in each process, however many of its frames are read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refusal(sample: Sample, frame: int | None, reason: str, advice: str) -> dict[str, Any]:
    return {
        "file": sample.source,
        "frame": sample.frame if frame is None else frame,
        "reason": reason,
        "advice": advice,
    }
