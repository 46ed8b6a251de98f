"""Read the headerless .IMG files of the JSRT chest radiograph database."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vesalius.data.limits import JSRT_BYTES, check_frame
from vesalius.data.windows import WindowRequest, choose_window
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import DecodedImage

__all__ = ["read_jsrt"]

_SIDE = 2048
_TOP = 4095


def read_jsrt(path: Path, *, frame: int = 0, window: WindowRequest = "auto") -> DecodedImage:
    """Read one JSRT radiograph: big-endian 16-bit words of 12 bits, 0.175 mm, stored with dense tissue dark.

    Paper: Shiraishi et al., "Development of a digital image database for chest radiographs", AJR 174 (2000).
    The polarity is inverted here (4095 - value), so a window given as (low, high) speaks of the inverted values.

    Raises:
        UnreadableImageError: The file has another size, or words above 12 bits.
    """
    check_frame(path, frame, 1)
    found = path.stat().st_size
    if found != JSRT_BYTES:
        raise UnreadableImageError(
            path, f"not a JSRT image: {found} bytes instead of {JSRT_BYTES}", "Was the copy interrupted?"
        )
    stored = np.fromfile(path, dtype=">u2").reshape(_SIDE, _SIDE)
    if int(stored.max()) > _TOP:
        raise UnreadableImageError(
            path, f"not a JSRT image: value {int(stored.max())} exceeds 12 bits", "Is it another headerless format?"
        )
    pixels = (_TOP - stored).astype(np.uint16)
    return DecodedImage(
        pixels=pixels,
        window=choose_window(path, pixels, request=window, stated=(0.0, float(_TOP))),
        spacing_mm=(0.175, 0.175),
        bits=12,
        inverted=True,
        header={"Modality": "CR", "BodyPartExamined": "CHEST"},
    )
