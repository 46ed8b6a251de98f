"""An atlas from the store itself: no label needed, shared by name between stores, exemplars put into it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vesalius import pipeline
from vesalius.data.batches import ImagePool
from vesalius.data.knowledge_maps import open_maps, read_atlas
from vesalius.data.knowledge_pool import KnowledgePool
from vesalius.data.store import open_store
from vesalius.errors import KnowledgeError, RegistrationError
from vesalius.registration.atlas import build_atlas, compose
from vesalius.registration.batched import BatchedOptions, BatchedRegistration, Level
from vesalius.registration.deformation import identity, invert, warp

from .conftest import PARTS

QUICK = {"template": "atlas", "workers": 1, "progress": False, "device": "cpu", "map_size": 20}


@pytest.fixture(scope="module")
def atlas(phantom_store: Path, exemplar, tmp_path_factory) -> Path:
    """Atlas maps of the phantom store, with parts."""
    out = tmp_path_factory.mktemp("maps") / "atlas"
    pipeline.guide(phantom_store, out=out, exemplars=[exemplar[0]], masks=[exemplar[1]], parts=PARTS, **QUICK)
    return out


def test_parts_come_through_the_atlas(atlas: Path, phantom_store: Path) -> None:
    maps, store = open_maps(atlas), open_store(phantom_store)
    names = list(store.info["arrays"]["masks"]["parts"])
    truth = store.masks[np.arange(64)]
    overlap = []
    for channel, part in enumerate(PARTS):
        real = (truth == names.index(part)).reshape(64, 20, 2, 20, 2).mean((2, 4)) > 0.5
        moved = maps.parts[np.arange(64)][:, channel] > 127
        overlap.append(2 * (moved & real).sum((1, 2)) / np.maximum(1, moved.sum((1, 2)) + real.sum((1, 2))))
    assert np.mean(overlap) > 0.7


def test_without_an_exemplar_there_are_places_and_no_parts(phantom_store: Path, atlas: Path, tmp_path: Path) -> None:
    maps = pipeline.guide(phantom_store, out=tmp_path / "places", atlas=atlas, **QUICK)
    assert maps.names.names == ()
    with pytest.raises(KnowledgeError, match="has places but no parts"):
        _ = maps.parts
    rows = np.arange(64)
    # With parts the registration looks at them first, so that places differ a little.
    assert np.median(np.abs(maps.coordinates[rows] - open_maps(atlas).coordinates[rows])) < 0.03
    # The atlas that was read again is the one that was written: the same places.
    again = pipeline.guide(phantom_store, out=tmp_path / "again", atlas=tmp_path / "places", **QUICK)
    np.testing.assert_array_equal(maps.coordinates[rows], again.coordinates[rows])
    pool = ImagePool([(open_store(phantom_store), rows)])
    knowledge = KnowledgePool(pool, [maps], coordinates=True).gather(rows[:5])
    assert knowledge.parts.shape == (5, 0, 20, 20)
    assert knowledge.coordinates.shape == (5, 2, 20, 20)


def test_stores_of_two_atlases_do_not_train_together(phantom_store: Path, atlas: Path, tmp_path: Path) -> None:
    store = open_store(phantom_store)
    shutil.copytree(atlas, tmp_path / "other")
    about = tmp_path / "other" / "maps.json"
    plan = open_maps(atlas).info["plan"]
    about.write_text(about.read_text().replace(plan["atlas_sha256"], "0" * 64))
    pool = ImagePool([(store, np.arange(4)), (store, np.arange(4, 8))])
    both = [open_maps(atlas), open_maps(tmp_path / "other")]
    with pytest.raises(KnowledgeError, match=r"places in different templates.*--atlas"):
        KnowledgePool(pool, both, coordinates=True)
    assert KnowledgePool(pool, both, coordinates=False).guided > 0


def test_maps_without_an_image_have_no_atlas(phantom_store: Path, tmp_path: Path) -> None:
    plain = pipeline.guide(
        phantom_store, template="triangular", out=tmp_path / "maps", map_size=20, workers=1, progress=False
    )
    with pytest.raises(KnowledgeError, match="its template is no image"):
        read_atlas(plain.path)


def test_an_atlas_stands_in_the_middle_of_its_images(phantom_store: Path) -> None:
    images = torch.from_numpy(open_store(phantom_store).images[np.arange(24)]).float()[:, None] / 255
    quick = BatchedRegistration(BatchedOptions(levels=(Level(pixels=40, steps=25),), affine_steps=20))
    atlas = build_atlas(images, [quick, quick])
    assert atlas.shape == (1, 1, 40, 40)
    moved = quick.register(images, atlas).coordinates - identity(40, 40)
    to_first = quick.register(images[1:], images[:1]).coordinates - identity(40, 40)
    assert moved.mean(0).norm(dim=0).mean() < 0.5 * moved.norm(dim=1).mean()
    assert moved.norm(dim=1).mean() < to_first.norm(dim=1).mean()


def test_one_image_makes_no_atlas() -> None:
    with pytest.raises(RegistrationError, match="1 images make no atlas"):
        build_atlas(torch.rand(1, 1, 8, 8), [BatchedRegistration()])


def test_inverse_and_composition_undo_each_other() -> None:
    own = identity(24, 24)
    wave = 0.03 * torch.sin(6 * own.flip(1))
    coordinates = (own + wave + torch.tensor([0.02, -0.05]).view(1, 2, 1, 1)).contiguous()
    back = invert(coordinates, (24, 24))
    there = compose(coordinates, back)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(there[inner], own[inner], atol=2e-3, rtol=0)
    picture = torch.rand(1, 1, 6, 6)
    smooth = torch.nn.functional.interpolate(picture, size=(24, 24), mode="bicubic")
    torch.testing.assert_close(warp(warp(smooth, coordinates), back)[inner], smooth[inner], atol=0.1, rtol=0)
