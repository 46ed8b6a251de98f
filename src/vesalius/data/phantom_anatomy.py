"""The bodies of the phantom: one random adult or child a patient, and one random pose, exposure and state an image.

Body coordinates: x to the right of the image (the patient's left), y down, the unit is half the image's side when the
pose is neutral; the midline is x = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Anatomy", "Findings", "Opacity", "Pose", "draw_anatomy", "draw_findings", "draw_pose"]

Array = npt.NDArray[np.float32]

_GENERATIONS = 4
_SPRAY = 3
_PREVALENCE = 0.26
_STAYS, _COMES = 0.75, 0.07


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What the images of one patient share. Lengths in body units unless said otherwise.

    Attributes:
        male: Build of the body.
        habitus: -1 thin to 1 obese.
        half_width: Of the rib cage at its widest, inside.
        apex: y of the lung apices.
        dome_right, dome_left: y of the tops of the diaphragm at full inspiration; the right one is higher.
        angle_depth: How far the costophrenic angles reach below the domes.
        mediastinum: Half-width of the upper mediastinum.
        knob: How far the aortic arch bulges to the left.
        heart_left, heart_right: How far the heart reaches to either side of the midline.
        heart_height: Its half-length.
        heart_tilt_rad: Its axis against the horizontal, apex down to the left.
        rib_spacing, rib_phase, rib_slope, rib_strength, rib_width: The bars of the cage.
        clavicle: y of the inner ends of the clavicles.
        clavicle_rise: How far the outer ends are raised.
        breast: Thickness of the breast shadows, 0 for none.
        breast_y, breast_radius: Where they lie.
        bubble: Radius of the stomach bubble, 0 for none.
        bubble_x: Where it lies.
        bend: Sideways bow of the spine.
        vessels: `[points, 3]`: x and y against the hila and mass of points sprayed over the lung vessels.
        sick_effusion, sick_opacity: Whether the patient's images tend to show the finding.
        cardiomegaly: Whether the heart is enlarged.
    """

    male: bool
    habitus: float
    half_width: float
    apex: float
    dome_right: float
    dome_left: float
    angle_depth: float
    mediastinum: float
    knob: float
    heart_left: float
    heart_right: float
    heart_height: float
    heart_tilt_rad: float
    rib_spacing: float
    rib_phase: float
    rib_slope: float
    rib_strength: float
    rib_width: float
    clavicle: float
    clavicle_rise: float
    breast: float
    breast_y: float
    breast_radius: float
    bubble: float
    bubble_x: float
    bend: float
    vessels: Array
    sick_effusion: bool
    sick_opacity: bool
    cardiomegaly: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opacity:
    """One patch of consolidation: centre and radii in body units, density against full consolidation."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    density: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one image shows.

    Attributes:
        fluid_right, fluid_left: Height of the fluid above the costophrenic angle, 0 for none.
        opacities: Patches of consolidation.
    """

    fluid_right: float
    fluid_left: float
    opacities: tuple[Opacity, ...]

    @property
    def effusion(self) -> bool:
        """Whether there is fluid on any side."""
        return self.fluid_left > 0 or self.fluid_right > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How one image was taken, geometry only.

    Attributes:
        rotation_deg: In the image plane.
        shift_x, shift_y: Of the body, in body units.
        scale_x, scale_y: Of the body.
        turn: Rotation about the body's long axis, as a sideways shift of what lies in front.
        expiration: How far the domes are raised.
        collimation: (left, top, right, bottom) width of the unexposed border, as shares of the image.
    """

    rotation_deg: float
    shift_x: float
    shift_y: float
    scale_x: float
    scale_y: float
    turn: float
    expiration: float
    collimation: tuple[float, float, float, float]


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient."""
    male = bool(rng.random() < 0.5)
    child = max(0.0, float(rng.normal(-0.6, 0.7)))
    habitus = float(np.clip(rng.normal(0.0, 0.45), -1, 1))
    half_width = float(np.clip(rng.normal(0.67 if male else 0.64, 0.065), 0.50, 0.80) + 0.03 * min(child, 1.0))
    dome_right = float(rng.normal(0.36, 0.05) - 0.05 * max(habitus, 0.0))
    cardiomegaly = bool(rng.random() < _PREVALENCE)
    ratio = float(rng.uniform(0.535, 0.605) if cardiomegaly else rng.uniform(0.40, 0.49))
    share_left = float(rng.uniform(0.65, 0.78))
    apex = float(rng.normal(-0.74, 0.03))
    return Anatomy(
        male=male,
        habitus=habitus,
        half_width=half_width,
        apex=apex,
        dome_right=dome_right,
        dome_left=dome_right + float(rng.uniform(0.02, 0.09)),
        angle_depth=float(rng.uniform(0.20, 0.30)),
        mediastinum=float(rng.uniform(0.095, 0.14)),
        knob=float(rng.uniform(0.02, 0.075)),
        heart_left=2 * half_width * ratio * share_left,
        heart_right=2 * half_width * ratio * (1 - share_left),
        heart_height=float(rng.uniform(0.26, 0.31) * (1.05 if cardiomegaly else 1.0)),
        heart_tilt_rad=float(np.deg2rad(rng.uniform(16, 34) if cardiomegaly else rng.uniform(20, 44))),
        rib_spacing=float(rng.uniform(0.115, 0.14)),
        rib_phase=float(rng.uniform(0, 1)),
        rib_slope=float(rng.uniform(0.75, 1.3)),
        rib_strength=float(rng.uniform(0.14, 0.30)),
        rib_width=float(rng.uniform(0.36, 0.48)),
        clavicle=float(apex + rng.uniform(0.12, 0.24)),
        clavicle_rise=float(rng.uniform(-0.04, 0.10)),
        breast=0.0 if male else float(rng.uniform(0.30, 0.65) * (1.0 + 0.4 * habitus)),
        breast_y=float(rng.uniform(0.10, 0.32)),
        breast_radius=float(rng.uniform(0.24, 0.34)),
        bubble=float(rng.uniform(0.05, 0.13)) if rng.random() < 0.75 else 0.0,
        bubble_x=float(rng.uniform(0.24, 0.44)),
        bend=float(rng.normal(0, 0.018)),
        vessels=_draw_vessels(rng, half_width=half_width, height=dome_right - apex),
        sick_effusion=bool(rng.random() < _PREVALENCE),
        sick_opacity=bool(rng.random() < _PREVALENCE),
        cardiomegaly=cardiomegaly,
    )


def _draw_vessels(rng: np.random.Generator, *, half_width: float, height: float) -> Array:
    """Grow a tree of vessels from each hilum; every generation splits in two, thins and bends."""
    points: list[npt.NDArray[np.float64]] = []
    steps = np.linspace(0.0, 1.0, 22)
    for side in (-1.0, 1.0):
        trunks = 9
        fan = np.linspace(-1.45, 1.35, trunks) + rng.normal(0, 0.10, trunks)
        x = np.full(trunks, 0.13 * half_width / 0.66) + rng.uniform(0, 0.04, trunks)
        y = np.full(trunks, 0.02) + rng.uniform(-0.07, 0.07, trunks)
        angle, radius, length = fan, np.full(trunks, 0.0135), 0.17 * height
        for _ in range(_GENERATIONS):
            bow = rng.normal(0, 0.35, len(angle))
            turn = angle[:, None] + bow[:, None] * steps[None]
            reach = length * rng.uniform(0.7, 1.2, len(angle))
            step = reach[:, None] / len(steps)
            along_x = x[:, None] + np.cumsum(np.cos(turn) * step, axis=1)
            along_y = y[:, None] + np.cumsum(np.sin(turn) * step, axis=1)
            taper = radius[:, None] * (1 - 0.3 * steps[None])
            # A vessel of radius r crosses 2 r of blood over a width of 2 r: its mass goes with r squared.
            mass = taper**2 * step
            points.append(np.stack([side * along_x, along_y, mass, taper], axis=-1).reshape(-1, 4))
            spread = rng.uniform(0.22, 0.5, len(angle))
            end = turn[:, -1]
            angle = np.concatenate([end - spread, end + spread])
            x, y = np.tile(along_x[:, -1], 2), np.tile(along_y[:, -1], 2)
            radius, length = np.tile(radius, 2) * 0.72, length * 0.86
    x, y, mass, radius = np.tile(np.concatenate(points), (_SPRAY, 1)).T
    # Offsets across a vessel on a golden-angle spiral: even cover without a random draw.
    turns = np.arange(len(x))
    offset = radius * np.sqrt(turns * 0.754878 % 1)
    spiral = turns * 2.39996
    return np.stack([x + offset * np.cos(spiral), y + offset * np.sin(spiral), mass / _SPRAY], axis=-1).astype(
        np.float32
    )


def draw_findings(anatomy: Anatomy, rng: np.random.Generator) -> Findings:
    """Draw what one image of a patient shows; a sick patient's image may be clear, a healthy one's fall ill."""
    has_fluid = rng.random() < (_STAYS if anatomy.sick_effusion else _COMES)
    side = int(rng.integers(0, 3))
    heights = rng.uniform(0.16, 0.46, size=2)
    has_opacity = rng.random() < (_STAYS if anatomy.sick_opacity else _COMES)
    patches: list[Opacity] = []
    for _ in range(int(rng.integers(1, 4)) if has_opacity else 0):
        sign = -1.0 if rng.random() < 0.5 else 1.0
        patches.append(
            Opacity(
                x=sign * float(rng.uniform(0.45, 0.80)) * anatomy.half_width,
                y=float(rng.uniform(anatomy.apex + 0.22, anatomy.dome_right - 0.10)),
                radius_x=float(rng.uniform(0.11, 0.20)),
                radius_y=float(rng.uniform(0.11, 0.22)),
                density=float(rng.uniform(0.6, 0.95)),
            )
        )
    return Findings(
        fluid_right=float(heights[0]) if has_fluid and side in {0, 2} else 0.0,
        fluid_left=float(heights[1]) if has_fluid and side in {1, 2} else 0.0,
        opacities=tuple(patches),
    )


def draw_pose(rng: np.random.Generator) -> Pose:
    """Draw how one image was taken."""
    scale = float(np.exp(rng.normal(0.02, 0.13)))
    stretch = float(np.exp(rng.normal(0, 0.06)))
    border = np.where(rng.random(4) < 0.25, rng.uniform(0.01, 0.09, 4), 0.0)
    left, top, right, bottom = (float(width) for width in border)
    return Pose(
        rotation_deg=float(rng.normal(0, 4.5)),
        shift_x=float(rng.normal(0, 0.10)),
        shift_y=float(rng.normal(0.02, 0.10)),
        scale_x=scale * stretch,
        scale_y=scale / stretch,
        turn=float(np.clip(rng.normal(0, 0.045), -0.1, 0.1)),
        expiration=float(abs(rng.normal(0, 0.07))),
        collimation=(left, top, right, bottom),
    )
