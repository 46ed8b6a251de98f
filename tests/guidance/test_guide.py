"""From a store to knowledge maps: made, judged, resumed, found again, and refused where they do not belong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vesalius import pipeline
from vesalius.data.gray import gray_pixels
from vesalius.data.knowledge_maps import find_maps, labelled_by, open_maps
from vesalius.data.source_image import decode_options
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, KnowledgeError, RegistrationError
from vesalius.guidance import guide as guide_module
from vesalius.guidance.deformable import DeformableTemplate
from vesalius.guidance.exemplar import read_exemplar
from vesalius.registration.batched import BatchedRegistration

from .conftest import PARTS

QUICK = {"workers": 1, "progress": False, "device": "cpu", "map_size": 20}


@pytest.fixture(scope="session")
def deformable(phantom_store: Path, exemplar, tmp_path_factory) -> Path:
    """Deformable maps of the phantom store."""
    out = tmp_path_factory.mktemp("maps") / "deformable"
    image, mask = exemplar
    pipeline.guide(phantom_store, out=out, exemplars=[image], masks=[mask], parts=PARTS, **QUICK)
    return out


def test_the_exemplars_parts_lie_on_the_images_parts(deformable: Path, phantom_store: Path) -> None:
    maps, store = open_maps(deformable), open_store(phantom_store)
    assert maps.names.names == tuple(PARTS)
    assert maps.names.pairs == ((0, 1),)
    assert maps.parts.shape == (64, 3, 20, 20)
    assert maps.coordinates.dtype == np.float16
    truth = store.masks[np.arange(64)]
    names = list(store.info["arrays"]["masks"]["parts"])
    overlap, still = [], []
    for channel, part in enumerate(PARTS):
        real = (truth == names.index(part)).reshape(64, 20, 2, 20, 2).mean((2, 4)) > 0.5
        moved = maps.parts[np.arange(64)][:, channel] > 127
        fixed = np.broadcast_to(maps.still[channel].reshape(20, 2, 20, 2).mean((1, 3)) > 127, moved.shape)
        for held, found in ((moved, overlap), (fixed, still)):
            found.append(2 * (held & real).sum((1, 2)) / np.maximum(1, held.sum((1, 2)) + real.sum((1, 2))))
    assert np.mean(overlap) > np.mean(still) + 0.03
    assert np.mean(overlap) > 0.7


def test_an_exemplar_without_a_mask_gives_places_alone(
    deformable: Path, phantom_store: Path, exemplar, tmp_path: Path
) -> None:
    """No label is read: the search looks at all of the image, and finds much the same places."""
    maps = pipeline.guide(phantom_store, out=tmp_path / "maps", exemplars=[exemplar[0]], **QUICK)
    assert maps.names.names == ()
    assert maps.guided.sum() >= 55
    assert set(maps.quality) >= {"similarity", "folding"}
    assert "overlap" not in maps.quality
    labelled = open_maps(deformable)
    both, trusted = maps.guided & labelled.guided, np.arange(64)
    apart = (maps.coordinates[trusted] - labelled.coordinates[trusted])[both].astype(float)
    assert np.median(np.abs(apart)) < 0.05
    assert labelled_by([maps]) == {"images": [], "stores": []}
    assert len(labelled_by([labelled])["images"]) == 1
    with pytest.raises(KnowledgeError, match="2 exemplars without masks: places are those in the first"):
        pipeline.guide(phantom_store, out=tmp_path / "named", exemplars=[exemplar[0]] * 2, **QUICK)
    with pytest.raises(KnowledgeError, match="1 exemplars but 0 masks"):
        pipeline.guide(phantom_store, out=tmp_path / "named", exemplars=[exemplar[0]], parts=PARTS, **QUICK)
    assert not (tmp_path / "named").exists()


def test_of_several_exemplars_the_best_match_or_the_vote_counts(phantom_store: Path, exemplar) -> None:
    store = open_store(phantom_store)
    scans = exemplar[0].parent.parent
    second = sorted((scans / "images").iterdir())[7]
    files = [exemplar, (second, scans / "masks" / second.name)]
    options = decode_options(store)
    read = [read_exemplar(image, mask, values=PARTS, options=options) for image, mask in files]
    images = gray_pixels(store.images[8:16])
    alone = [DeformableTemplate([one], BatchedRegistration(), map_size=20).maps(images) for one in read]
    by = {how: DeformableTemplate(read, BatchedRegistration(), combine=how, map_size=20) for how in ("best", "vote")}
    similarity = torch.stack([one.quality["similarity"] for one in alone])
    best = similarity.argmax(0)
    assert 0 < best.sum() < 8  # either is somewhere the better one
    made = by["best"].maps(images)
    each = torch.stack([one.parts for one in alone])
    torch.testing.assert_close(made.parts, each[best, torch.arange(8)], rtol=0, atol=1e-4)
    for name in ("similarity", "folding", "overlap"):  # of the exemplar that was taken
        figures = torch.stack([one.quality[name] for one in alone])
        torch.testing.assert_close(made.quality[name], figures[best, torch.arange(8)])
    torch.testing.assert_close(made.coordinates, alone[0].coordinates)
    torch.testing.assert_close(by["vote"].maps(images).parts, each.mean(0), rtol=0, atol=1e-4)


def test_bars_beside_an_image_have_no_place(tmp_path: Path, phantom_store: Path) -> None:
    """A picture of 48 rows and 64 columns in a square of 32 px: four rows of it above and below are bars."""
    manifest = (
        open_store(phantom_store)
        .manifest.iloc[:1]
        .assign(original_width=64, original_height=48, scale_x=2.0, scale_y=2.0, offset_x=0.0, offset_y=-8.0)
    )
    inside = guide_module._within_source(manifest, 32, 8)
    assert inside.shape == (1, 8, 8)
    assert inside[0].all(1).tolist() == [False, *[True] * 6, False]
    assert not inside[0, 0].any()


def test_bars_are_written_as_no_place(phantom_store: Path, tmp_path: Path) -> None:
    """Upright pictures: a fifth of the square on either side is a bar."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, image in enumerate(open_store(phantom_store).images[:3]):
        Image.fromarray(image[:, 8:32]).save(pictures / f"{number}.png")
    pipeline.prepare(pictures, tmp_path / "store", size=40, workers=1, progress=False)
    maps = pipeline.guide(tmp_path / "store", exemplars=[pictures / "0.png"], **QUICK)
    known = maps.known[np.arange(3)][:, 0] > 0
    assert not known[:, :, :4].any()
    assert not known[:, :, 16:].any()
    assert known[:, :, 4:16].mean() > 0.9


def test_a_registration_that_fails_names_its_images(
    phantom_store: Path, exemplar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = torch.full((64, 5, 2, 3), torch.inf)
    monkeypatch.setattr("vesalius.registration.batched.find_affines", lambda *_, **__: broken)
    first = open_store(phantom_store).manifest["source"].iloc[0]
    options = {"exemplars": [exemplar[0]], "masks": [exemplar[1]], "parts": PARTS, **QUICK}
    with pytest.raises(RegistrationError, match=rf"diverged.*one of the images {first} to "):
        pipeline.guide(phantom_store, out=tmp_path / "maps", **options)
    assert not (tmp_path / "maps").exists()


def test_quality_is_told_for_every_image(deformable: Path) -> None:
    maps = open_maps(deformable)
    assert len(maps.quality) == 64
    assert maps.quality[["similarity", "folding", "overlap"]].notna().all().all()
    assert maps.guided.sum() >= 55
    unguided = pd.read_csv(deformable / "unguided.csv")
    assert len(unguided) == 64 - maps.guided.sum()
    assert unguided["reason"].notna().all()


def test_triangles_need_no_exemplar(phantom_store: Path, tmp_path: Path) -> None:
    maps = pipeline.guide(phantom_store, template="triangular", out=tmp_path / "maps", **QUICK)
    assert not maps.has_coordinates
    assert maps.guided.all()
    with pytest.raises(KnowledgeError, match="gives no coordinates"):
        _ = maps.coordinates
    store = open_store(phantom_store)
    for place, part in enumerate(maps.names.names):
        truth = store.masks[:] == list(store.info["arrays"]["masks"]["parts"]).index(part)
        drawn = np.kron(maps.parts[0][place], np.ones((2, 2))) > 127  # maps of 20, images of 40 pixels
        dice = 2 * (truth & drawn).sum((1, 2)) / (truth.sum((1, 2)) + drawn.sum())
        assert dice.mean() > 0.45, part


def test_the_same_words_again_change_nothing_and_others_are_refused(
    deformable: Path, phantom_store: Path, exemplar
) -> None:
    image, mask = exemplar
    options = {"out": deformable, "exemplars": [image], "masks": [mask], "parts": PARTS, **QUICK}
    before = (deformable / "maps.json").stat().st_mtime_ns
    pipeline.guide(phantom_store, **options)
    assert (deformable / "maps.json").stat().st_mtime_ns == before
    with pytest.raises(KnowledgeError, match=r"made otherwise .different: map_size"):
        pipeline.guide(phantom_store, **{**options, "map_size": 16})


def test_a_kill_costs_a_chunk_and_changes_no_byte(
    deformable: Path, phantom_store: Path, exemplar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, mask = exemplar
    options = {"out": tmp_path / "maps", "exemplars": [image], "masks": [mask], "parts": PARTS, **QUICK}
    monkeypatch.setattr(guide_module, "CHUNK", 16)
    real, made = guide_module._make_chunk, []

    def dying(*call):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(call)
        return real(*call)

    monkeypatch.setattr(guide_module, "_make_chunk", dying)
    with pytest.raises(KeyboardInterrupt):
        pipeline.guide(phantom_store, **options)
    with pytest.raises(KnowledgeError, match="unfinished"):
        open_maps(tmp_path / "maps")
    monkeypatch.setattr(guide_module, "_make_chunk", real)
    told: list[int] = []
    monkeypatch.setattr("vesalius.progress.bar", _telling(told))
    resumed = pipeline.guide(phantom_store, **options)
    assert told == [32, 16, 16]
    whole = open_maps(deformable)
    # Images are registered in batches of another size here; nothing is shared in a batch, so only rounding differs.
    difference = resumed.parts[np.arange(64)].astype(int) - whole.parts[np.arange(64)].astype(int)
    assert np.abs(difference).mean() < 0.5


def _telling(told: list[int]):
    from contextlib import contextmanager

    @contextmanager
    def bar(what: str, total: int, *, show: bool):
        yield told.append

    return bar


def test_maps_are_found_by_name_and_belong_to_their_store(
    deformable: Path, phantom_store: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "store"
    shutil.copytree(phantom_store, copied)
    store = open_store(copied)
    with pytest.raises(KnowledgeError, match=r"no knowledge maps 'deformable'; it has none.*vesalius guide"):
        find_maps(store, "deformable")
    shutil.copytree(deformable, copied / "maps" / "deformable")
    assert len(find_maps(store, "deformable")) == 64
    about = copied / "store.json"
    about.write_text(about.read_text().replace(store.fingerprint, "0" * 64))
    with pytest.raises(KnowledgeError, match=r"made for the store .* not for"):
        find_maps(open_store(copied), "deformable")


def test_a_shard_cut_short_is_refused(deformable: Path, tmp_path: Path) -> None:
    shutil.copytree(deformable, tmp_path / "maps")
    shard = tmp_path / "maps" / "parts-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(Exception, match=r"parts-00000.npy has \d+ bytes"):
        open_maps(tmp_path / "maps")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"template": "triangles"}, ConfigError, "no template 'triangles'.*triangular"),
        ({}, KnowledgeError, "needs an exemplar: --exemplar"),
        ({"backend": "elastic"}, ConfigError, "no backend 'elastic'.*elastix"),
        ({"combine": "mean"}, ConfigError, "combine must be best or vote"),
        ({"map_size": 4}, ConfigError, "map_size = 4"),
    ],
)
def test_wrong_words_are_refused(phantom_store: Path, tmp_path: Path, exemplar, options, error, message: str) -> None:
    given = {} if not options else {"exemplars": [exemplar[0]], "masks": [exemplar[1]]}
    with pytest.raises(error, match=message):
        pipeline.guide(phantom_store, out=tmp_path / "maps", **{**QUICK, "parts": PARTS, **given, **options})
    assert not list(tmp_path.iterdir())


def test_an_exemplar_of_nothing_is_refused(phantom_store: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40), dtype=np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(np.ones((40, 40), dtype=np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(KnowledgeError, match=r"black\.png"):
        pipeline.guide(
            phantom_store,
            out=tmp_path / "maps",
            exemplars=[tmp_path / "black.png"],
            masks=[tmp_path / "mask.png"],
            parts={"all": 1},
            **QUICK,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["black.png", "mask.png"]
