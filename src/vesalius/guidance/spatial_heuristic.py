"""Parts as triangles, from a handful of coordinates that anyone can name (MeDINO, Miao 2022, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.guidance.templates import Template, TemplateMaps, paired_by_name

__all__ = ["THORAX", "TriangularTemplate", "triangle_map"]

Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

THORAX: Mapping[str, Corners] = {
    "left_lung": ((0.66, 0.08), (0.60, 0.78), (0.92, 0.74)),
    "right_lung": ((0.36, 0.08), (0.44, 0.78), (0.08, 0.74)),
    "heart": ((0.52, 0.36), (0.38, 0.72), (0.76, 0.74)),
}
"""Of an upright frontal radiograph that the thorax fills, (x, y) as shares of its width and height; sides are the
patient's.

A lung runs from its apex under the clavicle (.66, .08) down to the cardiophrenic angle (.60, .78) and out to the
costophrenic angle (.92, .74), the right one nearer to the midline below, where no heart pushes it aside; the heart from
the root of the great vessels (.52, .36) to its right border on the diaphragm (.38, .72) and its apex (.76, .74)."""

_SUBPIXELS = 4


class TriangularTemplate(Template):
    """The same triangles for every image."""

    name = "triangular"
    has_coordinates = False

    def __init__(self, triangles: Mapping[str, Corners] = THORAX, *, map_size: int = 64) -> None:
        """Draw the triangles.

        Raises:
            ConfigError: Corners in one line, or outside of the image.
        """
        for part, corners in triangles.items():
            if any(not 0 <= value <= 1 for corner in corners for value in corner) or abs(_twice_area(corners)) < 1e-4:
                raise ConfigError(
                    f"triangle of {part} = {corners}: expected three corners (x, y) in [0, 1], not in line"
                )
        self.triangles, self.map_size = dict(triangles), map_size
        self.parts = paired_by_name(tuple(triangles))

    def maps(self, images: Float[Tensor, "batch 1 height width"]) -> TemplateMaps:
        """Return the triangles once an image."""
        drawn = torch.stack([triangle_map(corners, self.map_size) for corners in self.triangles.values()])
        known = torch.ones(len(images), 1, self.map_size, self.map_size)
        return TemplateMaps(parts=drawn.expand(len(images), -1, -1, -1), coordinates=None, known=known)

    def description(self) -> dict[str, Any]:
        """Tell the corners."""
        triangles = {part: [list(corner) for corner in corners] for part, corners in self.triangles.items()}
        return {"template": self.name, "map_size": self.map_size, "triangles": triangles}


def triangle_map(corners: Corners, size: int) -> Float[Tensor, "size size"]:
    """Return each pixel's share inside of the triangle, from 16 points a pixel."""
    points = (torch.arange(size * _SUBPIXELS, dtype=torch.float64) + 0.5) / (size * _SUBPIXELS)
    x, y = points[None, :], points[:, None]
    turning = 1.0 if _twice_area(corners) > 0 else -1.0
    inside = torch.ones(len(points), len(points), dtype=torch.bool)
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        inside &= turning * ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) >= 0
    return inside.view(size, _SUBPIXELS, size, _SUBPIXELS).float().mean((1, 3))


def _twice_area(corners: Corners) -> float:
    (x0, y0), (x1, y1), (x2, y2) = corners
    return (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
