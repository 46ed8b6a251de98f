"""The phantom's skeleton: ribs, spine, clavicles, scapulae; and the trachea that lies on the spine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vesalius.data.phantom_anatomy import Anatomy, Pose
from vesalius.data.phantom_canvas import AXIS, Canvas, hump, ramp, rise

__all__ = ["draw_bones"]

Array = npt.NDArray[np.float32]

_PHASES = 512


def draw_bones(canvas: Canvas, anatomy: Anatomy, pose: Pose, *, wall: Array) -> Array:
    """Ribs, spine, trachea, clavicles and scapulae."""
    total = _ribs(canvas, anatomy, wall=wall)
    total += _spine(canvas, anatomy)
    total += _clavicles(canvas, anatomy, pose)
    total += _scapulae(canvas, anatomy)
    return total


def _ribs(canvas: Canvas, anatomy: Anatomy, *, wall: Array) -> Array:
    """All ribs at once: a bar pattern over a phase that follows the ribs' course, behind and in front."""
    reach = np.clip(np.abs(AXIS) / anatomy.half_width, 0, 1.2)
    spacing, slope = anatomy.rib_spacing, anatomy.rib_slope
    steep = slope * (0.6 + 0.5 * np.clip(AXIS - anatomy.apex, 0, 1.5))
    course = (0.30 * reach**2.2 - 0.09 * np.sin(np.pi * np.clip(reach / 0.7, 0, 1))) / spacing
    behind = canvas.along_y(steep) * canvas.along_x(course)
    level = (AXIS - 0.02 * np.sin(5 * AXIS + 6 * anatomy.rib_phase)) / spacing + anatomy.rib_phase + 64
    height = canvas.along_y(level)
    pattern = _bar(anatomy.rib_width)
    cage = ramp(wall + np.float32(0.02), 0.035)
    ends = rise(anatomy.dome_right + 0.30 - AXIS, 0.05) * rise(AXIS - anatomy.apex + 0.03, 0.02)
    cage *= canvas.along_y(ends)
    ribs = pattern.take(_phase(height - behind))
    course_front = -0.50 * slope * np.clip(1.05 - reach, 0, 2) ** 1.2 / spacing
    front = pattern.take(_phase(height + canvas.along_x(course_front + 0.37)))
    fade = np.clip((reach - 0.38) / 0.25, 0, 1) * 0.55
    front *= canvas.along_x(fade)
    ribs += front
    # Seen edge-on at the chest wall, the ribs add up to a bright rim.
    rim = np.exp(np.maximum(np.abs(wall) * np.float32(-28), -20))
    ribs *= 1 + rim
    ribs += np.float32(0.7) * rim
    ribs *= cage
    ribs *= np.float32(anatomy.rib_strength)
    return ribs


def _phase(turns: Array) -> npt.NDArray[np.intp]:
    return (turns * np.float32(_PHASES)).astype(np.intp) & (_PHASES - 1)


def _bar(width: float) -> Array:
    """One period of the rib pattern: a bar with brighter rims (cortex), softened."""
    at = np.abs(np.arange(_PHASES) / _PHASES - 0.5)
    bar = rise(width / 2 - at, 0.018)
    cortex = hump(at - width / 2 + 0.045, 0.032)
    return (0.62 * bar + 0.45 * cortex).astype(np.float32)


def _spine(canvas: Canvas, anatomy: Anatomy) -> Array:
    half = 0.068
    column = rise(half - np.abs(AXIS), 0.008)
    column += 0.35 * hump(np.abs(AXIS) - half * 0.95, 0.012)
    discs = 0.75 + 0.25 * np.cos(2 * np.pi * (AXIS / (0.92 * anatomy.rib_spacing) + anatomy.rib_phase)) ** 3
    spine = canvas.along_x(0.42 * column) * canvas.along_y(discs)
    trachea = hump((AXIS - 0.008) ** 2, 0.036**2)
    carina = rise(anatomy.apex + 0.44 - AXIS, 0.03)
    spine -= canvas.along_x(0.42 * trachea) * canvas.along_y(carina)
    return spine


def _clavicles(canvas: Canvas, anatomy: Anatomy, pose: Pose) -> Array:
    """Two flat S-shaped bars from the sternum outwards; turning the body shifts one against the other."""
    out = np.abs(AXIS + 0.6 * pose.turn)
    course = (
        anatomy.clavicle - anatomy.clavicle_rise * out - 0.055 * np.sin(2 * np.pi * np.clip(out - 0.06, 0, 0.8) / 0.8)
    )
    off = canvas.y - canvas.along_x(course)
    half = 0.030
    bar: Array = np.clip(1.6 - np.abs(off) * np.float32(1.6 / half), 0, 1)
    bar *= 1 + np.float32(0.5) * hump(np.abs(off) - np.float32(half * 0.7), 0.012)
    ends = rise(out - 0.085, 0.012) * rise(0.84 - out, 0.03)
    bar *= canvas.along_x(1.15 * anatomy.rib_strength * ends)
    return bar


def _scapulae(canvas: Canvas, anatomy: Anatomy) -> Array:
    """A faint blade beside each lung with a denser inner border, and the head of the humerus."""
    out = np.abs(canvas.x)
    top = anatomy.apex + 0.10
    border = np.float32(anatomy.half_width * 0.93) + np.float32(0.16) * (canvas.y - np.float32(top))
    inner = out - border
    below = canvas.along_y(rise(top + 0.62 - AXIS, 0.03) * rise(AXIS - top, 0.03))
    blade = ramp(inner, 0.03) * np.clip(1.3 - inner * np.float32(4.5), 0, 1)
    blade += np.float32(0.9) * np.exp(np.maximum(np.abs(inner) * np.float32(-55), -20))
    total: Array = np.float32(0.55 * anatomy.rib_strength) * blade * below
    across, down = out - np.float32(anatomy.half_width + 0.34), canvas.y - np.float32(top + 0.08)
    head = np.sqrt(np.clip(1 - (across * across + down * down) * np.float32(1 / 0.14**2), 0, 1))
    total += np.float32(1.3 * anatomy.rib_strength) * head
    return total
