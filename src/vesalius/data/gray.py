"""Stored images as numbers in [0, 1]: in their channels, or as one gray channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["gray_pixels", "unit_pixels"]


def gray_pixels(images: npt.NDArray[Any]) -> Float[Tensor, "images 1 height width"]:
    """Turn stored pixels, uint8 or uint16, `[n, H, W]` or `[n, H, W, 3]`, into gray in [0, 1]; colour is averaged."""
    return unit_pixels(images).mean(dim=1, keepdim=True)


def unit_pixels(images: npt.NDArray[Any]) -> Float[Tensor, "images channels height width"]:
    """Turn stored pixels, as in `gray_pixels`, into one or three channels in [0, 1]."""
    pixels = torch.from_numpy(images.astype(np.float32) / float(np.iinfo(images.dtype).max))
    return pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
