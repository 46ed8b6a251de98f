"""Intensity operations with one parameter a sample, equal to torchvision.transforms.v2.functional on float images.

Images are `[n, channels, height, width]` in [0, 1]; every factor is `[n]`. Nothing is changed in place.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.views.bands import gaussian_taps, weigh_rows

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "gaussian_blur",
    "rgb_to_grayscale",
    "solarize",
]

Images = Float[Tensor, "n c height width"]
Factors = Float[Tensor, "n"]


def _blend(one: Tensor, other: Tensor, factor: Factors) -> Tensor:
    factor = factor.view(-1, 1, 1, 1)
    return (one * factor + other * (1 - factor)).clamp_(0, 1)


def rgb_to_grayscale(images: Images) -> Float[Tensor, "n 1 height width"]:
    """Weigh red, green and blue by .2989, .587 and .114; one channel stays as it is."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def adjust_brightness(images: Images, factor: Factors) -> Images:
    """Multiply by the factor and clamp."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_contrast(images: Images, factor: Factors) -> Images:
    """Move each value away from (or towards) the mean of the image's gray version."""
    return _blend(images, rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Images, factor: Factors) -> Images:
    """Move each colour away from (or towards) its gray; one channel stays as it is."""
    return images if images.shape[1] == 1 else _blend(images, rgb_to_grayscale(images), factor)


def adjust_gamma(images: Images, factor: Factors) -> Images:
    """Raise to the power of the factor and clamp."""
    return images.pow(factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_hue(images: Images, factor: Factors) -> Images:
    """Turn the hue by the factor, a share of the full circle; one channel stays as it is."""
    if images.shape[1] == 1:
        return images
    value, hue, saturation = _hue_saturation(images)
    hue = (hue + factor.view(-1, 1, 1)).remainder(1.0)
    # HSV to RGB in closed form: channel = v - v s max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6, n = 5, 3, 1.
    steps = torch.tensor([5.0, 3.0, 1.0], device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    k = (steps + 6 * hue[:, None]).remainder(6.0)
    share = torch.minimum(k, 4 - k).clamp_(0, 1)
    return (value[:, None] * (1 - saturation[:, None] * share)).clamp_(0, 1)


def _hue_saturation(images: Images) -> tuple[Tensor, Tensor, Tensor]:
    """Return value, hue in [0, 1) and saturation, each `[n, height, width]`."""
    red, green, blue = images.unbind(1)
    value, low = images.amax(1), images.amin(1)
    spread = value - low
    safe = torch.where(spread == 0, torch.ones_like(spread), spread)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    saturation = spread / torch.where(value == 0, torch.ones_like(value), value)
    return value, torch.where(spread == 0, torch.zeros_like(hue), hue).div(6).remainder(1.0), saturation


def adjust_sharpness(images: Images, factor: Factors) -> Images:
    """Blend with a 3x3 smoothing (centre 5/13, others 1/13) that leaves the border pixels as they are."""
    if min(images.shape[2:]) <= 2:
        return images
    # The 3x3 sum, separable: three rows, then three columns; plus four times the centre.
    rows = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = total.add_(images[:, :, 1:-1, 1:-1], alpha=4).div_(13)
    return _blend(images, smooth, factor)


def gaussian_blur(images: Images, sigma: Factors, *, kernel_size: int) -> Images:
    """Blur with a Gaussian of `sigma` pixels on `kernel_size` taps (odd), borders mirrored without the edge pixel."""
    height, width = images.shape[2:]
    every = torch.arange(len(images), device=images.device)
    blurred = weigh_rows(images, every, gaussian_taps(sigma, size=height, kernel_size=kernel_size))
    turned = blurred.transpose(2, 3).contiguous()
    turned = weigh_rows(turned, every, gaussian_taps(sigma, size=width, kernel_size=kernel_size))
    return turned.transpose(2, 3).contiguous()


def solarize(images: Images, threshold: float) -> Images:
    """Invert all values at or above the threshold."""
    if threshold == 0.5:  # the same, without a mask: several times faster on a CPU
        return torch.minimum(images, 1 - images)
    return torch.where(images >= threshold, 1 - images, images)
