"""The grid the phantom is drawn on: curves looked up at every pixel, soft edges, fine noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vesalius.data.phantom_anatomy import Pose

__all__ = ["AXIS", "Canvas", "blur3", "hump", "ramp", "rise", "smooth_field"]

Array = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating]

# Curves of one coordinate are tabulated on this axis and looked up a pixel; 1 / 640 is finer than any pixel.
_REACH = 1.8
AXIS: Array = np.linspace(-_REACH, _REACH, 2305, dtype=np.float32)
_PER_UNIT = (len(AXIS) - 1) / (2 * _REACH)


class Canvas:
    """The pixel grid in body coordinates, with fast look-up of curves of x or y.

    Attributes:
        size: Side in pixels.
        x, y: `[size, size]`, body coordinates of the pixel centres.
        unit_px: Pixels a body unit.
    """

    def __init__(self, pose: Pose, *, size: int, bend: float) -> None:
        """Place the body on a square of `size` pixels; `bend` bows the spine sideways."""
        self.size = size
        turn = np.deg2rad(pose.rotation_deg)
        self._forward = np.array(
            [
                [np.cos(turn) * pose.scale_x, -np.sin(turn) * pose.scale_y],
                [np.sin(turn) * pose.scale_x, np.cos(turn) * pose.scale_y],
            ]
        )
        self._shift = np.array([pose.shift_x, pose.shift_y])
        self._bend = bend
        inverse = np.linalg.inv(self._forward)
        centres = (np.arange(size) + 0.5) / size * 2 - 1
        across, down = centres - self._shift[0], centres - self._shift[1]
        self.y: Array = (inverse[1, 0] * across[None, :] + inverse[1, 1] * down[:, None]).astype(np.float32)
        self._iy = _index(self.y)
        self.x: Array = (inverse[0, 0] * across[None, :] + inverse[0, 1] * down[:, None]).astype(np.float32)
        self.x -= self.along_y(_bow(AXIS, bend))
        self._ix = _index(self.x)
        self.unit_px = size / 2 * float(np.sqrt(pose.scale_x * pose.scale_y))

    def along_x(self, curve: Curve) -> Array:
        """Look a curve over the axis up at every pixel's x."""
        return _tabulate(curve).take(self._ix)

    def along_y(self, curve: Curve) -> Array:
        """Look a curve over the axis up at every pixel's y."""
        return _tabulate(curve).take(self._iy)

    def to_pixels(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return (column, row), continuous, of points in body coordinates."""
        bowed = np.stack([x + _bow(y, self._bend), y])
        at = self._forward @ bowed + self._shift[:, None]
        columns, rows = ((at + 1) / 2 * self.size).astype(np.float32)
        return columns, rows


def _bow(y: Array, bend: float) -> Array:
    return np.asarray(bend * np.sin(2.4 * y + 0.6), np.float32)


def _tabulate(curve: Curve) -> Array:
    """Drop what is far below any pixel value: products of subnormal numbers would be many times slower."""
    return np.where(np.abs(curve) < 1e-9, 0, curve).astype(np.float32)


def rise(distance: Curve, width: float) -> Curve:
    """A smooth step up from 0 to 1 at distance 0."""
    risen: Curve = 1 / (1 + np.exp(np.clip(distance / -width, -40, 40)))
    return risen


def hump(distance: Curve, width: float) -> Curve:
    """A Gaussian hump of height 1 at distance 0."""
    hump: Curve = np.exp(-np.minimum((distance / width) ** 2, 40))
    return hump


def _index(values: Array) -> npt.NDArray[np.intp]:
    scaled = values * np.float32(_PER_UNIT)
    scaled += np.float32(_REACH * _PER_UNIT + 0.5)
    np.clip(scaled, 0, len(AXIS) - 1, out=scaled)
    return scaled.astype(np.intp)


def ramp(distance: Array, width: float) -> Array:
    """Return 0 outside, 1 inside, a straight edge of the given width between them."""
    ramp = distance * np.float32(1 / width)
    ramp += np.float32(0.5)
    return np.clip(ramp, 0, 1, out=ramp)


def blur3(pixels: Array) -> Array:
    """Blur with the kernel (1, 2, 1) / 4 along both axes; borders repeat."""
    blurred = pixels
    for _ in range(2):
        once = 2 * blurred
        once[1:] += blurred[:-1]
        once[:-1] += blurred[1:]
        once[0] += blurred[0]
        once[-1] += blurred[-1]
        blurred = once.T
    return np.multiply(blurred, np.float32(1 / 16), order="C")


def smooth_field(size: int, knots: int, rng: np.random.Generator) -> Array:
    """Return `[size, size]` of noise of about unit variance, linear between `knots` x `knots` random values."""
    values = rng.standard_normal((knots, knots), dtype=np.float32)
    up = _linear(size, knots)
    field: Array = np.matmul(up @ values, up.T, dtype=np.float32)
    field *= np.float32(1.5)
    return field


@lru_cache(maxsize=64)
def _linear(size: int, knots: int) -> Array:
    """The `[size, knots]` matrix of linear interpolation."""
    at = np.linspace(0, knots - 1, size)
    weights = 1 - np.abs(at[:, None] - np.arange(knots)[None])
    clipped: Array = np.clip(weights, 0, 1).astype(np.float32)
    return clipped
