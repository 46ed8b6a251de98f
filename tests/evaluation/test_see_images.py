"""Every image as a run sees it: the features and attention of other paths, kept, resumed, and a map of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import Store, open_store
from vesalius.errors import ConfigError
from vesalius.evaluation import see_images as module
from vesalius.evaluation.embedding_map import check_map, embedding_map
from vesalius.evaluation.features import extract_features, look_at
from vesalius.evaluation.see_images import see_images
from vesalius.interpret.attention_maps import attention_maps


def backbone_in(run: Path, name: str) -> TimmBackbone:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=32, in_chans=1, drop_path=0.0))
    save_backbone(backbone, run / "backbone", state=backbone.state_dict())
    return backbone.eval()


@pytest.fixture(scope="module")
def phantom(phantom_store: Path) -> Store:
    return open_store(phantom_store)


def test_features_and_attention_equal_those_of_an_evaluation(phantom: Store, tmp_path: Path) -> None:
    backbone = backbone_in(tmp_path, "test_vit")
    seen = see_images(tmp_path, backbone, phantom, guided={"heart": 1}, how="pca", device="cpu")
    rows = np.arange(64)
    how: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
    features = extract_features(backbone, phantom, rows, **how)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(seen.features, features, atol=1e-3)
    with torch.no_grad():
        [looked] = look_at(backbone, phantom, rows, image_size=None, batch_size=64, attention=True, **how)
    assert looked.attention is not None
    maps = attention_maps(looked.attention, looked.grid).numpy()
    assert seen.attention is not None
    np.testing.assert_allclose(seen.attention / 255, maps / maps.max((2, 3), keepdims=True), atol=0.5 / 255 + 1e-5)
    assert list(seen.about["heads"]) == ["head 0", "heart (head 1)"][: len(seen.about["heads"])]


def test_a_network_without_attention_has_features_alone(phantom: Store, tmp_path: Path) -> None:
    seen = see_images(tmp_path, backbone_in(tmp_path, "test_resnet"), phantom, how="pca", device="cpu")
    assert seen.attention is None
    assert seen.about["heads"] == []


def test_work_that_was_stopped_goes_on(phantom: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PARTIAL", 20)
    backbone = backbone_in(tmp_path, "test_vit")
    done: list[int] = []

    def dying(count: int) -> None:
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        see_images(tmp_path, backbone, phantom, how="pca", device="cpu", advance=dying)
    looked = []
    inside = module._see
    monkeypatch.setattr(module, "_see", lambda *given: looked.append(given[2][0]) or inside(*given))
    seen = see_images(tmp_path, backbone, phantom, how="pca", device="cpu")
    assert looked == [40, 60]
    [folder] = (tmp_path / "explorer").iterdir()
    assert not (folder / "parts").exists()
    shutil.rmtree(tmp_path / "explorer")
    np.testing.assert_array_equal(
        seen.features, see_images(tmp_path, backbone, phantom, how="pca", device="cpu").features
    )


def test_what_was_seen_is_not_computed_again(phantom: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = backbone_in(tmp_path, "test_vit")
    see_images(tmp_path, backbone, phantom, how="pca", device="cpu")
    monkeypatch.setattr(module, "_see", None)
    see_images(tmp_path, backbone, phantom, how="pca", device="cpu")
    monkeypatch.setattr(module, "map_made", lambda how, images: "other")
    monkeypatch.setattr(module, "embedding_map", lambda features, how: features[:, :2] + 1)
    other = see_images(tmp_path, backbone, phantom, how="umap", device="cpu")  # another map alone
    assert other.about["map"] == "other"
    np.testing.assert_allclose(other.places, other.features[:, :2].astype(np.float32) + 1)


@pytest.mark.parametrize("how", [pytest.param("umap", marks=pytest.mark.slow), "pca"])  # half a minute to compile
def test_maps_keep_neighbours(how: str) -> None:
    """Three groups far apart in 16 dimensions are three groups on either map."""
    generator = np.random.default_rng(0)
    centres = np.eye(16)[:3].repeat(30, 0)
    features = centres + 0.05 * generator.normal(size=centres.shape)
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    places = embedding_map(features, how=how)
    np.testing.assert_array_equal(places, embedding_map(features, how=how))
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(far, np.inf)
    assert (far.argmin(1) // 30 == np.arange(90) // 30).all()


@pytest.mark.parametrize("images", [1, 2, 5])
def test_few_images_have_a_map(images: int) -> None:
    features = np.eye(8, dtype=np.float32)[:images]
    assert embedding_map(features).shape == (images, 2)


def test_unknown_maps_are_refused() -> None:
    with pytest.raises(ConfigError, match="no map 'tsne'; maps: umap, pca"):
        check_map("tsne")
