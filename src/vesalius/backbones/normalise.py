"""Whole images as a backbone's input: resized, in its channels, by the figures that belong to its weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.interface import Preprocessing

__all__ = ["normalise"]


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
