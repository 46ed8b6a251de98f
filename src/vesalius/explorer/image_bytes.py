"""Pixels on their way to the page: small pictures as JPEG, whole images and maps as bare numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesalius.data.eight_bits import eight_bits
from vesalius.data.store import Store

__all__ = ["SIDES", "bare", "thumbnail"]

SIDES = (64, 96, 128, 192)
"""Of small pictures, in pixels."""


def thumbnail(store: Store, row: int, side: int) -> bytes:
    """Return a small picture, 16 bits brought to 8 over the whole range; it carries no text."""
    image = Image.fromarray(eight_bits(np.asarray(store.images[row])))
    if max(image.size) > side:
        image = image.resize((side, side), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=86)
    return buffer.getvalue()


def bare(array: npt.NDArray[Any]) -> tuple[bytes, dict[str, str]]:
    """Return an array's numbers, little-endian and row by row, and the headers that tell what they are."""
    there = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return there.tobytes(), {"X-Shape": ",".join(str(one) for one in there.shape), "X-Type": array.dtype.name}
