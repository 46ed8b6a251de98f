"""Pictures of knowledge maps: outlines where the parts are, the template bent onto the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vesalius import pipeline
from vesalius.data.knowledge_maps import find_maps, open_maps
from vesalius.data.store import open_store
from vesalius.interpret.maps_pictures import draw_maps, maps_picture
from vesalius.interpret.pictures import PART_COLOURS


def test_guide_leaves_its_pictures(guided_store: Path) -> None:
    maps = find_maps(open_store(guided_store), "deformable")
    sheet = np.asarray(Image.open(maps.path / "examples.png"))
    for colour in PART_COLOURS[:3]:
        assert (sheet == colour).all(-1).sum() > 50
    population = np.asarray(Image.open(maps.path / "population.png"))
    for colour in PART_COLOURS[:3]:
        assert (population[:, population.shape[1] // 2 :] == colour).all(-1).sum() > 50
    store = open_store(guided_store)
    drawn = maps_picture(store, maps, [0, 5], cell=160)
    # Three columns of 160 pixels: the image, its parts, the template bent to it. Row 0 is the exemplar itself.
    assert drawn.shape[0] == 22 + 2 * 166
    first, bent = drawn[22:182, 6:166, 0].astype(float), drawn[22:182, -166:-6, 0].astype(float)
    assert np.corrcoef(first.ravel(), bent.ravel())[0, 1] > 0.9


def test_maps_without_template_or_parts_are_drawn_with_what_they_have(phantom_store: Path, tmp_path: Path) -> None:
    plain = pipeline.guide(
        phantom_store, template="triangular", out=tmp_path / "plain", map_size=20, workers=1, progress=False
    )
    assert (open_maps(plain.path).path / "examples.png").is_file()
    assert not (plain.path / "unguided.png").exists()
    draw_maps(open_store(phantom_store), plain)
