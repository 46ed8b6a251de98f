"""Regions kept over a training: the prior, what it becomes, a picture of both, and a training that does not notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vesalius.data.knowledge_maps import open_maps
from vesalius.training.region_snapshots import read_snapshots

R2O = (
    "views={plan: r2o-chest, options: {size: 40}}",
    "backbone={name: test_resnet, image_size: 40, drop_path: 0, pool: mean}",
    "method={name: r2o, hidden: 32, dim: 16, clusters: 8, clusters_end: 3, teacher_momentum: 0.9}",
    "training.epochs=2",
)


def test_regions_are_kept_and_drawn(pretrain, guided_store: Path) -> None:
    run = pretrain("run", *R2O, "monitors.every_epochs=1", data=f"{guided_store}@all")
    kept = read_snapshots(run)
    assert list(kept) == [0, 1, 4, 8]
    rows = np.linspace(0, 63, 6).astype(np.int64)
    assert np.array_equal(kept[0], open_maps(guided_store / "maps" / "slic").regions[rows][:, 0])
    assert [int(kept[step].max()) < limit for step, limit in ((1, 8), (4, 8), (8, 4))] == [True] * 3
    # a region of the prior is never cut: its pixels stay together
    for image in range(6):
        for region in np.unique(kept[0][image]):
            assert len(np.unique(kept[8][image][kept[0][image] == region])) == 1
    with Image.open(run / "pictures" / "regions.png") as picture:
        width, height = picture.size
    assert width > 5 * 192
    assert height > 6 * 192


def test_looking_changes_nothing(pretrain, figures, guided_store: Path) -> None:
    often = pretrain("often", *R2O, "monitors.every_epochs=0.25", data=f"{guided_store}@all")
    seldom = pretrain("seldom", *R2O, "monitors.every_epochs=9", data=f"{guided_store}@all")
    assert figures(often, "loss") == figures(seldom, "loss")
    assert len(read_snapshots(often)) > len(read_snapshots(seldom))


def test_regions_may_come_from_the_anatomy(pretrain, figures, guided_store: Path) -> None:
    """The parts that the exemplar's registration gave stand in for superpixels: lungs, heart and the rest."""
    run = pretrain("run", *R2O, "method.regions=deformable", "method.clusters=4", data=f"{guided_store}@all")
    prior = read_snapshots(run)[0]
    maps = open_maps(guided_store / "maps" / "deformable")
    rows = np.linspace(0, 63, 6).astype(np.int64)
    heart = maps.parts[rows][:, maps.names.names.index("heart")] > 200
    for image, inside in zip(prior, heart, strict=True):
        assert len(np.unique(image[inside])) == 1  # one region, of its own
        assert len(np.unique(image)) == 4
    assert all(0 < value <= 4 for _, value in figures(run, "regions_an_image"))
