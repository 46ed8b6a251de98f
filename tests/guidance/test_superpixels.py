"""Superpixels of a store: connected, about as many as asked for, along edges; kept and read with its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.measure import label

from vesalius import pipeline
from vesalius.data.knowledge_maps import open_maps
from vesalius.data.open_pool import open_pool
from vesalius.data.region_maps import labels_of_parts, open_regions
from vesalius.errors import ConfigError, KnowledgeError
from vesalius.guidance.superpixels import SuperpixelTemplate


def test_segments_follow_an_edge() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[:, :, :, 29:] = 0.7
    made = SuperpixelTemplate(map_size=64, segments=30).maps(image).regions
    assert made is not None
    left, right = made[0, 0, :, :29].unique(), made[0, 0, :, 29:].unique()
    assert not set(left.tolist()) & set(right.tolist())
    count = len(left) + len(right)
    assert 15 <= count <= 45
    assert label(made[0, 0].numpy(), background=-1, connectivity=1).max() == count


def test_colour_is_seen() -> None:
    """Two halves of one brightness: red and green of the same mean."""
    image = torch.zeros(1, 3, 48, 48)
    image[:, 0, :, :21], image[:, 1, :, 21:] = 0.6, 0.6
    made = SuperpixelTemplate(map_size=48, segments=20).maps(image).regions
    assert made is not None
    assert not set(made[0, 0, :, :21].unique().tolist()) & set(made[0, 0, :, 21:].unique().tolist())


def test_regions_of_a_store_are_read_with_its_images(guided_store: Path) -> None:
    pool, _ = open_pool(f"{guided_store}@all")
    regions = open_regions(pool, "slic").gather(np.array([5, 2]))
    kept = open_maps(guided_store / "maps" / "slic")
    assert regions.dtype == torch.uint8
    assert np.array_equal(regions.numpy(), kept.regions[np.array([5, 2])][:, 0])
    assert (guided_store / "maps" / "slic" / "examples.png").is_file()


def test_as_many_as_asked_for(phantom_store: Path, tmp_path: Path) -> None:
    how = {"template": "slic", "map_size": 40, "workers": 1, "progress": False, "device": "cpu"}
    few, usual = (
        pipeline.guide(phantom_store, segments=wanted, out=tmp_path / str(wanted), **how) for wanted in (12, None)
    )
    assert few.info["plan"]["segments"] == 12
    counts = [float(one.regions[:].reshape(len(one.regions), -1).max(1).mean()) + 1 for one in (few, usual)]
    assert counts[0] < 25 < 60 < counts[1] < 140


def test_parts_of_the_anatomy_stand_in(guided_store: Path) -> None:
    pool, _ = open_pool(f"{guided_store}@all")
    regions = open_regions(pool, "deformable").gather(np.arange(4))
    assert set(regions.unique().tolist()) == {0, 1, 2, 3}
    parts = torch.tensor([[[[200, 10, 127]], [[30, 255, 126]]]], dtype=torch.uint8)
    assert labels_of_parts(parts).tolist() == [[[1, 2, 0]]]


def test_bad_input(guided_store: Path, phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="segments = 300: expected 2 to 255"):
        SuperpixelTemplate(map_size=224, segments=300)
    with pytest.raises(KnowledgeError, match="no knowledge maps 'slic'"):
        pipeline.pretrain("r2o/small", data=f"{phantom_store}@all", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="makes nothing of segments"):
        pipeline.guide(guided_store, template="triangular", map_size=32, segments=50, out=tmp_path / "maps")
    with pytest.raises(ConfigError, match="segments = 0: expected 2 to"):
        pipeline.guide(guided_store, template="slic", segments=0, out=tmp_path / "maps")
    with pytest.raises(ConfigError, match="makes nothing of exemplars"):
        pipeline.guide(guided_store, template="slic", exemplars=["a.png"], masks=["b.png"], out=tmp_path / "maps")
