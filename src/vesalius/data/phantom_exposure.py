"""From attenuation to the pixels of one of several scanners: scatter, noise, film or detector, tone, borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.phantom_anatomy import Pose
from vesalius.data.phantom_canvas import blur3, smooth_field

__all__ = ["Exposure", "cover", "draw_exposure", "expose"]

Array = npt.NDArray[np.float32]

_CURVES = ("straight", "s", "bright", "dark", "equalised")
_TONES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How one image was exposed and developed.

    Attributes:
        curve: Shape of the scanner's tone curve.
        contrast: Its steepness; below 1 is flat.
        gamma: Exponent on top of it.
        low, high: Shares of the attenuation's spread that are cut at the dark and the bright end.
        scatter: Share of the detected photons that were scattered.
        noise: Standard deviation of the quantum noise, in attenuation, where nothing attenuates.
        grain: The same for the film, everywhere alike, in pixel values from 0 to 1.
        smooth: Whether the detector blurs.
        enhance: Strength of the scanner's local contrast enhancement.
        shade: Strength of uneven exposure over the field.
        black, white: Darkest and brightest value of the output, 0 to 1.
    """

    curve: str
    contrast: float
    gamma: float
    low: float
    high: float
    scatter: float
    noise: float
    grain: float
    smooth: bool
    enhance: float
    shade: float
    black: float
    white: float


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Draw a scanner and its settings."""
    return Exposure(
        curve=_CURVES[int(rng.integers(0, len(_CURVES)))],
        contrast=float(rng.uniform(0.7, 1.6)),
        gamma=float(np.exp(rng.normal(0, 0.35))),
        low=float(rng.uniform(0.0, 0.06)),
        high=float(rng.uniform(0.0, 0.10)),
        scatter=float(rng.uniform(0.0, 0.10)),
        noise=float(rng.uniform(0.006, 0.022)),
        grain=float(rng.uniform(0.004, 0.03)),
        smooth=bool(rng.random() < 0.5),
        enhance=float(rng.uniform(0.0, 0.7)) if rng.random() < 0.5 else 0.0,
        shade=float(rng.uniform(0.0, 0.22)),
        black=float(rng.uniform(0.0, 0.16)),
        white=float(rng.uniform(0.72, 1.0)),
    )


def expose(attenuation: Array, exposure: Exposure, pose: Pose, *, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return 8-bit pixels, brighter = denser, `[size, size]` as the attenuation."""
    size = attenuation.shape[0]
    coarse = _coarse(attenuation)
    light = np.exp(-attenuation)
    if exposure.scatter:
        light *= np.float32(1 - exposure.scatter)
        light += np.float32(exposure.scatter) * _spread(np.exp(-coarse), size)
    density = -np.log(light)
    # Poisson counts: the noise of a logarithm goes with one over the root of the counts.
    noise = rng.standard_normal(attenuation.shape, dtype=np.float32)
    grain = noise[::-1, ::-1]
    if exposure.smooth:
        noise = blur3(noise) * np.float32(2.2)
    density += noise * np.float32(exposure.noise) / np.sqrt(light)
    if exposure.enhance:
        density -= np.float32(exposure.enhance) * _spread(coarse, size)
    if exposure.shade:
        density += np.float32(exposure.shade) * smooth_field(size, 3, rng)
    low, high = np.quantile(density[:: max(size // 64, 1), :: max(size // 64, 1)], [exposure.low, 1 - exposure.high])
    density -= np.float32(low)
    density *= np.float32((_TONES - 1) / max(float(high - low), 1e-3))
    np.clip(density, 0, _TONES - 1, out=density)
    values = _tone_curve(exposure, density).take(density.astype(np.intp))
    # The same draw turned upside down: far pixels are independent, and normals are the dearest thing to draw.
    values += np.float32(exposure.grain) * grain
    values *= np.float32(exposure.white - exposure.black)
    values += np.float32(exposure.black)
    cover(values, pose, value=exposure.white if rng.random() < 0.3 else 0.0)
    np.clip(values, 0, 1, out=values)
    values *= np.float32(255)
    return values.astype(np.uint8)


def _tone_curve(exposure: Exposure, levels: Array) -> Array:
    at = np.linspace(0, 1, _TONES)
    if exposure.curve == "equalised":
        counts = np.bincount(levels[::4, ::4].astype(np.intp).ravel(), minlength=_TONES)
        ranks = np.cumsum(counts) / counts.sum()
        curve = 0.5 * at + 0.5 * ranks
    elif exposure.curve == "s":
        curve = 1 / (1 + np.exp(-6 * exposure.contrast * (at - 0.5)))
        curve = (curve - curve[0]) / (curve[-1] - curve[0])
    else:
        curve = at ** {"straight": 1.0, "bright": 0.65, "dark": 1.5}[exposure.curve]
        curve = np.clip((curve - 0.5) * max(exposure.contrast, 0.8) + 0.5, 0, 1)
    tones: Array = np.asarray(curve**exposure.gamma, np.float32)
    return tones


def _coarse(pixels: Array) -> Array:
    """Shrink to 1/8 (at least 8 x 8) by taking the mean of blocks, then blur."""
    step = max(pixels.shape[0] // 32, 1)
    side = pixels.shape[0] // step
    blocks = pixels[: side * step, : side * step].reshape(side, step, side, step)
    return blur3(blur3(blocks.mean(axis=(1, 3))))


def _spread(coarse: Array, size: int) -> Array:
    """Enlarge a coarse square field to `size`, linearly."""
    side = coarse.shape[0]
    at = np.clip((np.arange(size, dtype=np.float32) + 0.5) * side / size - 0.5, 0, side - 1)
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(side, dtype=np.float32)[None]), 0, 1)
    enlarged: Array = weights @ coarse @ weights.T
    return enlarged


def cover(pixels: npt.NDArray[Any], pose: Pose, *, value: float) -> None:
    """Overwrite, in place, the border that the collimator keeps from being exposed."""
    size = pixels.shape[0]
    left, top, right, bottom = (round(width * size) for width in pose.collimation)
    pixels[:top] = value
    pixels[size - bottom :] = value
    pixels[:, :left] = value
    pixels[:, size - right :] = value
