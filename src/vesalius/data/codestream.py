"""Read the size a JPEG, JPEG-LS or JPEG 2000 stream announces, which need not be the size its DICOM header says."""

from __future__ import annotations

from pathlib import Path

from vesalius.data.limits import MAX_PIXELS
from vesalius.errors import UnreadableImageError

__all__ = ["announced_size", "check_codestream"]

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}


def announced_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of the first codestream found in `data`, or None."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at >= 0 and len(data) >= at + 16:
        return int.from_bytes(data[at + 8 : at + 12], "big"), int.from_bytes(data[at + 12 : at + 16], "big")
    at = data.find(b"\xff\xd8\xff")
    if at < 0:
        return None
    at += 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in _START_OF_FRAME:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def check_codestream(path: Path, data: bytes) -> None:
    """Refuse a stream beyond `MAX_PIXELS`; decoders take memory for what the stream says.

    Raises:
        UnreadableImageError: Names the size and the limit.
    """
    size = announced_size(data)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise UnreadableImageError(
            path,
            f"too large: the compressed image says {size[0]} x {size[1]} pixels, the limit is {MAX_PIXELS}",
            "Such a stream can be an attack (decompression bomb)",
        )
