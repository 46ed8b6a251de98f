"""Outlines of regions: their areas, their holes, and what QuPath reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vesalius.interpret.write_geojson import outlines, write_geojson


def drawn(polygons: list, shape: tuple[int, int], *, times: int = 8) -> np.ndarray:
    """Fill polygons, holes left out, on a finer grid, and read pixels at their centres."""
    canvas = np.zeros((shape[0] * times, shape[1] * times), bool)
    for rings in polygons:
        own = np.zeros_like(canvas)
        for place, ring in enumerate(rings):
            image = Image.new("1", (canvas.shape[1], canvas.shape[0]))
            ImageDraw.Draw(image).polygon([(times * x, times * y) for x, y in ring], fill=1)
            own = np.array(image) if place == 0 else own & ~np.array(image)
        canvas |= own
    return canvas[times // 2 :: times, times // 2 :: times]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
def test_filled_again_they_are_the_region(seed: int, share: float) -> None:
    blocks = np.random.default_rng(seed).random((5, 6)) < share
    region = np.kron(blocks, np.ones((4, 4), bool))  # as patches are: no diagonal pixel stands alone
    np.testing.assert_array_equal(drawn(outlines(region), region.shape), region)


def test_a_hole_belongs_to_what_surrounds_it(tmp_path: Path) -> None:
    region = np.zeros((20, 30), bool)
    region[2:18, 2:18] = True
    region[6:12, 6:12] = False
    region[8:10, 8:10] = True
    polygons = outlines(region)
    assert sorted(len(rings) for rings in polygons) == [1, 2]
    for rings in polygons:
        assert all(ring[0] == ring[-1] and len(ring) >= 5 for ring in rings)
    write_geojson(tmp_path / "a.geojson", {"heart_head_1": region, "nothing": region & False}, of="attention")
    content = json.loads((tmp_path / "a.geojson").read_text())
    [feature] = content["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert feature["properties"]["classification"]["name"] == "heart_head_1"
    xs = [x for rings in feature["geometry"]["coordinates"] for ring in rings for x, _ in ring]
    assert (min(xs), max(xs)) == (2.0, 18.0)
