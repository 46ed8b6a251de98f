"""Stored images as one gray channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["gray_pixels"]


def gray_pixels(images: npt.NDArray[Any]) -> Float[Tensor, "images 1 height width"]:
    """Turn stored pixels, uint8 or uint16, `[n, H, W]` or `[n, H, W, 3]`, into gray in [0, 1]; colour is averaged."""
    pixels = torch.from_numpy(images.astype(np.float32) / float(np.iinfo(images.dtype).max))
    return (pixels if pixels.ndim == 3 else pixels.mean(-1))[:, None]
