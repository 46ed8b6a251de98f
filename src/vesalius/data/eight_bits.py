"""Stored pixels for the eye."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["eight_bits"]


def eight_bits(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Bring stored pixels, uint8 or uint16, to 8 bits over the whole range."""
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
