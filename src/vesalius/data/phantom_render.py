"""From a phantom's body to attenuation and masks, analytically on the pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vesalius.data.phantom_anatomy import Anatomy, Findings, Pose
from vesalius.data.phantom_bones import draw_bones
from vesalius.data.phantom_canvas import AXIS, Canvas, blur3, hump, ramp, rise, smooth_field

__all__ = ["Projection", "project"]

Array = npt.NDArray[np.float32]
Curve = npt.NDArray[np.floating]

_CROWN = 0.43  # the lungs are highest at this share of the half-width


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """The body on the detector.

    Attributes:
        attenuation: `[size, size]`, the line integral, 0 in air.
        mask: `[size, size]`, 0 elsewhere, 1 patient's left lung, 2 right lung, 3 heart.
    """

    attenuation: Array
    mask: npt.NDArray[np.uint8]


def project(anatomy: Anatomy, pose: Pose, findings: Findings, *, size: int, rng: np.random.Generator) -> Projection:
    """Project a body; the generator draws only the fine texture of the tissues."""
    canvas = Canvas(pose, size=size, bend=anatomy.bend)
    edge = max(0.010, 1.3 / canvas.unit_px)
    dome = canvas.along_x(_dome(anatomy, pose))
    wall = _wall_distance(canvas, anatomy)
    heart = _heart(canvas, anatomy, pose, dome=dome)
    lung = np.minimum(wall, _mediastinum_distance(canvas, anatomy, pose))
    np.minimum(lung, dome - canvas.y, out=lung)
    np.minimum(lung, -heart, out=lung)
    fluid = _fluid(canvas, anatomy, pose, findings, wall=wall)
    aerated = lung if fluid is None else np.minimum(lung, fluid)
    air = ramp(aerated, edge)
    depth = np.sqrt(np.clip(wall * np.float32(4.2), 0, 1))
    lungs = air * depth
    total = _trunk(canvas, anatomy, dome=dome, edge=edge)
    total -= lungs * _lung_loss(canvas, anatomy, findings, rng)
    total += np.float32(0.28) * ramp(heart, 0.05)
    total += draw_bones(canvas, anatomy, pose, wall=wall) * (np.float32(0.55) + np.float32(0.45) * air)
    total += _vessels(canvas, anatomy, pose) * air
    np.maximum(total, 0, out=total)
    return Projection(attenuation=total, mask=_mask(canvas, heart=heart, lung=aerated, dome=dome))


def _mask(canvas: Canvas, *, heart: Array, lung: Array, dome: Array) -> npt.NDArray[np.uint8]:
    mask = np.zeros((canvas.size, canvas.size), np.uint8)
    inside = lung > 0
    left = canvas.x > 0
    mask[inside & left] = 1
    mask[inside & ~left] = 2
    mask[(heart > 0) & (canvas.y < dome + np.float32(0.10))] = 3
    return mask


def _dome(anatomy: Anatomy, pose: Pose) -> Curve:
    """Height of the diaphragm over x: a dome a side that falls steeply to the costophrenic angle."""
    reach = np.abs(AXIS) / anatomy.half_width
    top = np.where(AXIS < 0, anatomy.dome_right, anatomy.dome_left) - pose.expiration
    outer = np.clip((reach - 0.42) / 0.58, 0, 1.4) ** 2.4
    inner = np.clip((0.42 - reach) / 0.42, 0, 1) ** 2
    return np.asarray(top + anatomy.angle_depth * outer + 0.08 * inner)


def _wall_distance(canvas: Canvas, anatomy: Anatomy) -> Array:
    """Distance inwards from the chest wall, negative outside."""
    base = anatomy.dome_right + anatomy.angle_depth
    down = (AXIS - anatomy.apex) / (base - anatomy.apex)
    rounded = (1 - np.clip(1 - down / 0.80, 0, 1) ** 2.7) ** 0.62
    crown = _CROWN * anatomy.half_width
    width = (crown + (anatomy.half_width - crown) * rounded) * (1 - 0.10 * np.clip(down - 0.85, 0, 1))
    width = np.where(down < 0, crown + 20 * down, width)
    return canvas.along_y(width) - np.abs(canvas.x)


def _mediastinum_distance(canvas: Canvas, anatomy: Anatomy, pose: Pose) -> Array:
    """Distance outwards from the mediastinum, negative inside it."""
    below = np.clip((AXIS - anatomy.apex) / 0.22, 0, 1)
    apex = (_CROWN * anatomy.half_width - anatomy.mediastinum) * (1 - np.sqrt(1 - (1 - below) ** 2))
    # Where the great vessels enter the heart the outline runs smoothly into the heart's own.
    base = rise(AXIS - _heart_centre(anatomy, pose)[1] + 0.62 * anatomy.heart_height, 0.055)
    flare = 0.03 * np.clip(AXIS + 0.35, 0, 0.7)
    knob = anatomy.knob * hump(AXIS - anatomy.apex - 0.40, 0.075)
    trunk = 0.6 * anatomy.knob * hump(AXIS - anatomy.apex - 0.58, 0.07)
    vein = 0.02 * hump(AXIS - anatomy.apex - 0.35, 0.25)
    right = anatomy.mediastinum + apex + flare + vein + 0.42 * anatomy.heart_right * base - pose.turn
    left = 0.85 * anatomy.mediastinum + apex + flare + knob + trunk + 0.30 * anatomy.heart_left * base + pose.turn
    outwards: Array = np.maximum(-canvas.x - canvas.along_y(right), canvas.x - canvas.along_y(left))
    return outwards


def _heart(canvas: Canvas, anatomy: Anatomy, pose: Pose, *, dome: Array) -> Array:
    """Distance inwards from the heart's outline, an egg whose apex points down to the patient's left."""
    axis, height = _heart_axes(anatomy)
    tilt = anatomy.heart_tilt_rad
    x0, y0 = _heart_centre(anatomy, pose)
    across, down = canvas.x - np.float32(x0), canvas.y - np.float32(y0)
    along = across * np.float32(np.cos(tilt) / axis) + down * np.float32(np.sin(tilt) / axis)
    aside = down * np.float32(np.cos(tilt) / height) - across * np.float32(np.sin(tilt) / height)
    aside *= 1 + np.float32(0.18) * along
    inside: Array = (1 - np.sqrt(along * along + aside * aside)) * np.float32(min(axis, height))
    np.minimum(inside, dome + np.float32(0.11) - canvas.y, out=inside)
    return inside


def _heart_axes(anatomy: Anatomy) -> tuple[float, float]:
    """Half-axes of the tilted ellipse that reaches as far to either side as the patient's heart does."""
    half = (anatomy.heart_left + anatomy.heart_right) / 2
    tilt = anatomy.heart_tilt_rad
    height = min(anatomy.heart_height, 0.92 * half)
    return float(np.sqrt(max(half**2 - (height * np.sin(tilt)) ** 2, 0.01)) / np.cos(tilt)), height


def _heart_centre(anatomy: Anatomy, pose: Pose) -> tuple[float, float]:
    """Where the heart lies: its lowest point a little under the left dome."""
    axis, height = _heart_axes(anatomy)
    tilt = anatomy.heart_tilt_rad
    reach = float(np.hypot(axis * np.sin(tilt), height * np.cos(tilt)))
    x = (anatomy.heart_left - anatomy.heart_right) / 2 + pose.turn
    return x, anatomy.dome_left - pose.expiration + 0.07 - 0.94 * reach


def _fluid(canvas: Canvas, anatomy: Anatomy, pose: Pose, findings: Findings, *, wall: Array) -> Array | None:
    """Distance upwards from the surface of the fluid, whose meniscus climbs the chest wall; None without fluid."""
    if not findings.effusion:
        return None
    angle = anatomy.angle_depth - pose.expiration
    right = anatomy.dome_right + angle - findings.fluid_right if findings.fluid_right else 9.0
    left = anatomy.dome_left + angle - findings.fluid_left if findings.fluid_left else 9.0
    level = canvas.along_x(np.where(AXIS < 0, right, left))
    level -= np.float32(0.16) * np.exp(np.clip(wall, 0, 1) * np.float32(-9))
    level -= canvas.y
    return level


def _trunk(canvas: Canvas, anatomy: Anatomy, *, dome: Array, edge: float) -> Array:
    """Soft tissue of neck, shoulders, chest and abdomen, arms, breasts and the stomach's air."""
    heavy = anatomy.habitus
    torso = anatomy.half_width + 0.13 + 0.09 * heavy
    shoulders = 0.22 + (1.15 + 0.1 * heavy) * rise(AXIS - anatomy.apex - 0.02, 0.05)
    taper = rise(AXIS - anatomy.apex - 0.55, 0.07)
    width = shoulders * (1 - taper) + torso * taper
    across = canvas.x / canvas.along_y(width)
    chord = np.sqrt(np.clip(1 - across * across, 0, 1))
    thick = (2.25 + 0.55 * heavy) * (0.72 + 0.28 * np.clip((AXIS + 1.0) / 0.8, 0, 1))
    total: Array = chord * canvas.along_y(thick)
    total += np.float32(0.45 + 0.2 * heavy) * ramp(canvas.y - dome, 2 * edge) * chord
    total += canvas.along_x(0.55 * hump(AXIS, 0.17)) * chord
    arm = np.clip(1 - ((np.abs(AXIS) - torso - 0.34) / 0.20) ** 2, 0, 1) ** 0.5
    below = np.clip((AXIS - anatomy.apex - 0.15) / 0.3, 0, 1)
    total += np.float32(1.1) * canvas.along_x(arm) * canvas.along_y(below)
    if anatomy.breast:
        aside = (np.abs(canvas.x) - np.float32(0.40)) / np.float32(anatomy.breast_radius * 1.1)
        down = (canvas.y - np.float32(anatomy.breast_y)) / np.float32(anatomy.breast_radius)
        round_ = np.clip(1 - aside * aside - down * down, 0, 1)
        # Fuller below: the lower border is sharp, the upper one fades.
        total += np.float32(anatomy.breast) * np.sqrt(round_) * np.clip(0.55 + 0.6 * down, 0, 1)
    if anatomy.bubble:
        top = anatomy.dome_left + 0.03
        aside = (canvas.x - np.float32(anatomy.bubble_x)) / np.float32(1.5 * anatomy.bubble)
        down = (canvas.y - np.float32(top + anatomy.bubble)) / np.float32(anatomy.bubble)
        total -= np.float32(0.75) * ramp(1 - aside * aside - down * down, 0.5) * ramp(canvas.y - dome, 0.06)
    return total


def _lung_loss(canvas: Canvas, anatomy: Anatomy, findings: Findings, rng: np.random.Generator) -> Array:
    """How much less than soft tissue a full depth of lung attenuates; consolidation takes it away."""
    zone = (1.40 + 0.18 * np.clip(-AXIS, -0.5, 0.7)) * (1 + 0.12 * anatomy.habitus)
    loss = canvas.along_y(zone)
    loss *= 1 + np.float32(0.05) * smooth_field(canvas.size, 40, rng)
    if findings.opacities:
        clear = np.ones_like(loss)
        patchy = np.float32(1) + np.float32(0.35) * smooth_field(canvas.size, 14, rng)
        for patch in findings.opacities:
            across = hump(AXIS - patch.x, patch.radius_x)
            down = hump(AXIS - patch.y, patch.radius_y)
            dense = canvas.along_x(across) * canvas.along_y(down) * patchy
            clear *= 1 - np.float32(patch.density) * np.clip(1.6 * dense, 0, 1)
        loss *= clear
    return loss


def _vessels(canvas: Canvas, anatomy: Anatomy, pose: Pose) -> Array:
    """Spray the vessel tree onto the grid, and add the soft shadow of the hila."""
    x, y, mass = anatomy.vessels.T
    middle = anatomy.apex + 0.52 * (anatomy.dome_right - pose.expiration - anatomy.apex)
    columns, rows = canvas.to_pixels(x + np.float32(pose.turn), y + np.float32(middle))
    size = canvas.size
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    at = rows[inside].astype(np.intp) * size + columns[inside].astype(np.intp)
    sprayed = np.bincount(at, mass[inside], minlength=size * size).reshape(size, size).astype(np.float32)
    density = blur3(sprayed * np.float32(55 * canvas.unit_px**2))
    hilum = hump(np.abs(AXIS) - 0.16, 0.07)
    level = hump(AXIS - middle, 0.13)
    density += np.float32(0.30) * canvas.along_x(hilum) * canvas.along_y(level)
    return np.minimum(density, np.float32(0.8))
