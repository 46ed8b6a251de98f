"""Outlines of regions as GeoJSON that QuPath imports as annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from skimage.measure import approximate_polygon, find_contours, points_in_poly

from vesalius.atomic import replace_text
from vesalius.interpret.pictures import PART_COLOURS

__all__ = ["outlines", "write_geojson"]

_TOLERANCE = 0.25
"""How far, in pixels, a corner that is left out may lie from the line."""

_Ring = list[list[float]]


def outlines(region: Bool[np.ndarray, "rows columns"]) -> list[list[_Ring]]:
    """Return the polygons of a region: of each its outer ring and its holes, closed, (x, y) in pixels.

    (0, 0) is the upper left corner of the image, so that a pixel's centre lies at halves, as QuPath counts.
    """
    padded = np.pad(region, 1).astype(np.float64)
    outer: list[Any] = []
    holes: list[Any] = []
    for contour in find_contours(padded, 0.5):  # type: ignore[no-untyped-call]
        ring = approximate_polygon(contour, _TOLERANCE) - 0.5  # type: ignore[no-untyped-call]  # a padded pixel less, centres at halves
        if len(ring) >= 4:
            (outer if _area(ring) < 0 else holes).append(ring)
    found = [[_closed(ring)] for ring in outer]
    for hole in holes:
        inside = [place for place, ring in enumerate(outer) if points_in_poly(hole[:1], ring)[0]]  # type: ignore[no-untyped-call]
        if inside:
            smallest = min(inside, key=lambda place: abs(_area(outer[place])))
            found[smallest].append(_closed(hole))
    return found


def write_geojson(out: Path, regions: Mapping[str, Bool[np.ndarray, "rows columns"]], *, of: str) -> None:
    """Write a feature a region, named, classified and coloured; a region without any pixel is left out.

    Args:
        out: `.geojson`, replaced whole.
        regions: By name, in the image's own pixels.
        of: What they are, for the features' property `measurement_of`.
    """
    features = []
    for place, (name, region) in enumerate(regions.items()):
        polygons = outlines(region)
        if polygons:
            colour = list(PART_COLOURS[place % len(PART_COLOURS)])
            features.append(
                {
                    "type": "Feature",
                    "geometry": {"type": "MultiPolygon", "coordinates": polygons},
                    "properties": {
                        "objectType": "annotation",
                        "name": name,
                        "classification": {"name": name, "color": colour},
                        "measurement_of": of,
                    },
                }
            )
    replace_text(out, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")


def _closed(ring: Any) -> _Ring:
    points = [[round(float(column), 3), round(float(row), 3)] for row, column in ring]
    return points if points[0] == points[-1] else [*points, points[0]]


def _area(ring: Any) -> float:
    """Return the signed area of a ring of (row, column): below 0 where it runs around what is inside."""
    row, column = ring[:, 0], ring[:, 1]
    return float(np.sum(row[:-1] * column[1:] - row[1:] * column[:-1]) / 2)
