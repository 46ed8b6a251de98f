"""Whole images as a backbone's input: resized, in its channels, by the figures that belong to its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.interface import Backbone, Preprocessing

__all__ = ["normalise", "to_input"]


def normalise(
    pixels: Float[Tensor, "batch in_channels in_height in_width"],
    about: Preprocessing,
    *,
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "batch channels height width"]:
    """Turn pixels in [0, 1] into normalised input, on the device they are on.

    The whole image is resized (bicubic, antialiased, as the exported `config.json` says; overshoot is clipped as Pillow
    clips it), and gray is repeated or colour averaged where the backbone has other channels. Nothing is cropped: organs
    reach the border.

    Args:
        pixels: In [0, 1].
        about: Channels, mean and standard deviation.
        size: (height, width); by default the size that belongs to the weights.
    """
    size = about.image_size if size is None else size
    if tuple(pixels.shape[2:]) != size:
        pixels = functional.interpolate(pixels, size=size, mode="bicubic", antialias=True, align_corners=False)
        pixels = pixels.clamp_(0.0, 1.0)
    if pixels.shape[1] != about.in_chans:
        pixels = pixels.mean(dim=1, keepdim=True) if about.in_chans == 1 else pixels.expand(-1, about.in_chans, -1, -1)
    mean, std = (torch.tensor(values, device=pixels.device).view(1, -1, 1, 1) for values in (about.mean, about.std))
    return (pixels - mean) / std


def to_input(images: npt.NDArray[Any], backbone: Backbone, device: torch.device, size: tuple[int, int]) -> Tensor:
    """Turn stored pixels `[n, H, W]` or `[n, H, W, 3]` into normalised input `[n, C, height, width]` on the device.

    Pixels are scaled to [0, 1] by the dtype's full scale; see `normalise` for the rest.
    """
    full_scale = float(np.iinfo(images.dtype).max)
    # torch has few kernels for uint16, so wide pixels travel as int32.
    tensor = torch.from_numpy(images if images.dtype == np.uint8 else images.astype(np.int32))
    pixels = tensor.to(device).float().div_(full_scale)
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return normalise(pixels, backbone.preprocessing, size=size)
