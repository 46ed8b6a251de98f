"""Bring an image of any shape to the store's square, and remember how to map coordinates back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from vesalius.errors import ConfigError, nearest

__all__ = ["FIT_MODES", "Placement", "fit", "fit_mask", "placement"]

FIT_MODES = ("pad", "crop", "squash")
"""`pad`: all of the image, black bars. `crop`: the central square, `crop:0.7` that share of its side. `squash`: all of
the image, aspect ratio lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the store's pixels lie in the source: `x_source = offset_x + scale_x * x_store`, likewise y.

    Coordinates are continuous pixels with the origin at the outer top-left corner: the centre of pixel i is i + 0.5.
    In `pad` the bars lie outside the source (negative coordinates and beyond its width or height).
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Map a point of the store to the source image."""
        return self.offset_x + self.scale_x * x, self.offset_y + self.scale_y * y

    def to_store(self, x: float, y: float) -> tuple[float, float]:
        """Map a point of the source image to the store."""
        return (x - self.offset_x) / self.scale_x, (y - self.offset_y) / self.scale_y


@dataclass(frozen=True, slots=True)
class _Plan:
    left: int
    top: int
    width: int
    height: int
    box: tuple[float, float, float, float]
    placement: Placement


def placement(width: int, height: int, size: int, mode: str = "pad") -> Placement:
    """Return the placement `fit` would use for an image of `width` x `height` pixels.

    Raises:
        ConfigError: Unknown mode or a size below 1.
    """
    return _plan(width, height, size, mode).placement


def fit(
    pixels: Shaped[np.ndarray, "height width *channels"], size: int, mode: str = "pad"
) -> tuple[Shaped[np.ndarray, "size size *channels"], Placement]:
    """Resize to `size` x `size`, bicubic, antialiased where it shrinks.

    Args:
        pixels: uint8, uint16 or float32, gray or with three channels. uint16 is computed in float32 and rounded once.
        size: Side of the store's square.
        mode: See `FIT_MODES`.

    Returns:
        The square in the same dtype, and its placement.

    Raises:
        ConfigError: Unknown mode, a size below 1, or another dtype.
    """
    if pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)}:
        raise ConfigError(f"fit takes uint8, uint16 or float32 pixels, not {pixels.dtype}; apply the window first")
    plan = _plan(pixels.shape[1], pixels.shape[0], size, mode)
    whole = plan.box == (0.0, 0.0, pixels.shape[1], pixels.shape[0])
    if whole and (plan.height, plan.width) == pixels.shape[:2]:
        small = pixels
    elif pixels.dtype == np.uint8 or pixels.ndim == 2:
        small = _resize(pixels, plan)
    else:
        small = np.stack([_resize(pixels[..., c], plan) for c in range(pixels.shape[2])], axis=-1)
    if (plan.height, plan.width) == (size, size):
        return small, plan.placement
    square = np.zeros((size, size, *pixels.shape[2:]), pixels.dtype)
    square[plan.top : plan.top + plan.height, plan.left : plan.left + plan.width] = small
    return square, plan.placement


def fit_mask(mask: Shaped[np.ndarray, "height width"], size: int, mode: str = "pad") -> Shaped[np.ndarray, "size size"]:
    """Bring a label map to the same square as `fit`, each pixel the nearest source pixel's label; bars become 0.

    Raises:
        ConfigError: Unknown mode or a size below 1.
    """
    plan = _plan(mask.shape[1], mask.shape[0], size, mode)
    place = plan.placement
    columns = np.arange(plan.left, plan.left + plan.width) + 0.5
    rows = np.arange(plan.top, plan.top + plan.height) + 0.5
    from_x = np.clip(np.floor(place.offset_x + place.scale_x * columns).astype(int), 0, mask.shape[1] - 1)
    from_y = np.clip(np.floor(place.offset_y + place.scale_y * rows).astype(int), 0, mask.shape[0] - 1)
    square = np.zeros((size, size), mask.dtype)
    square[plan.top : plan.top + plan.height, plan.left : plan.left + plan.width] = mask[np.ix_(from_y, from_x)]
    return square


def _plan(width: int, height: int, size: int, mode: str) -> _Plan:
    mode, share = _parsed(mode)
    if size < 1:
        raise ConfigError(f"size {size} is below 1")
    box = (0.0, 0.0, float(width), float(height))
    left = top = 0
    new_width = new_height = size
    if mode == "crop":
        side = share * min(width, height)
        x, y = (width - side) / 2, (height - side) / 2
        box = (x, y, x + side, y + side)
    elif mode == "pad":
        longest = max(width, height)
        new_width, new_height = max(1, round(width * size / longest)), max(1, round(height * size / longest))
        left, top = (size - new_width) // 2, (size - new_height) // 2
    # The bars are whole pixels, so the two scales may differ by a fraction of a pixel over the side: record both.
    scale_x, scale_y = (box[2] - box[0]) / new_width, (box[3] - box[1]) / new_height
    place = Placement(
        scale_x=scale_x, scale_y=scale_y, offset_x=box[0] - left * scale_x, offset_y=box[1] - top * scale_y
    )
    return _Plan(left, top, new_width, new_height, box, place)


def _parsed(mode: str) -> tuple[str, float]:
    """Return the mode, and the share of the central square's side that is kept."""
    name, sign, told = mode.partition(":")
    if name not in FIT_MODES or (sign and name != "crop"):
        raise ConfigError(f"fit {mode!r} is not one of {', '.join(FIT_MODES)}, crop:SHARE{nearest(name, FIT_MODES)}")
    try:
        share = float(told) if sign else 1.0
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"fit {mode!r}: give the share of the central square that is kept, above 0 and at most 1")
    return name, share


def _resize(pixels: Shaped[np.ndarray, "height width *channels"], plan: _Plan) -> Shaped[np.ndarray, "..."]:
    values = np.ascontiguousarray(pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32))
    small = np.asarray(
        Image.fromarray(values).resize((plan.width, plan.height), Image.Resampling.BICUBIC, box=plan.box)
    )
    if pixels.dtype == np.uint16:
        small = np.clip(np.rint(small), 0, 65535).astype(np.uint16)
    return np.asarray(small)
