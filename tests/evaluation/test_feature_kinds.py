"""Pieces of frozen features: what each is made of, and what is refused."""

from __future__ import annotations

import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.errors import BackboneError, ConfigError
from vesalius.evaluation.feature_kinds import asked_of_backbone, choose_kind, pool_features
from vesalius.records.features import Features


def _features(rows: int = 6, columns: int = 5) -> Features:
    torch.manual_seed(0)
    patches = torch.randn(2, rows * columns, 3)
    attention = torch.rand(2, 4, rows * columns) * 0.01
    return Features(
        pooled=patches.mean(1), patches=patches, grid=(rows, columns), cls=torch.randn(2, 3), attention=attention
    )


def _backbone(name: str):
    return create_backbone(BackboneConfig(name=name, image_size=48, in_chans=1))


def test_pieces_stand_side_by_side_in_the_order_asked() -> None:
    features = _features()
    joined = pool_features(features, "mean+cls")
    torch.testing.assert_close(joined[:, :3], features.patches.mean(dim=1))
    torch.testing.assert_close(joined[:, 3:], features.cls)


def test_heads_weigh_patches_by_attention_whatever_the_row_adds_up_to() -> None:
    features = _features()
    pooled = pool_features(features, "heads").unflatten(1, (4, 3))
    for head in range(4):
        weights = features.attention[1, head] / features.attention[1, head].sum()
        torch.testing.assert_close(pooled[1, head], (weights[:, None] * features.patches[1]).sum(0))


def test_grid_keeps_rows_and_columns_apart() -> None:
    features = _features(rows=8, columns=4)
    cells = pool_features(features, "grid").unflatten(1, (4, 4, 3))
    tokens = features.patches.unflatten(1, (8, 4))
    torch.testing.assert_close(cells[:, 1, 2], tokens[:, 2:4, 2].mean(dim=1))
    small = pool_features(_features(rows=2, columns=3), "grid")
    torch.testing.assert_close(small, _features(rows=2, columns=3).patches.flatten(1))


def test_only_what_a_kind_takes_is_asked_of_the_backbone() -> None:
    assert asked_of_backbone("cls") == {"patches": False, "attention": False}
    assert asked_of_backbone("cls+mean") == {"patches": True, "attention": False}
    assert asked_of_backbone("grid+heads") == {"patches": True, "attention": True}


def test_auto_follows_the_backbone_and_what_it_lacks_is_refused() -> None:
    resnet, vit = _backbone("resnet18"), _backbone("vit_tiny_patch16_224")
    assert (choose_kind(resnet, "auto"), choose_kind(vit, "auto")) == ("mean", "cls+mean")
    with pytest.raises(BackboneError, match=r"has no .CLS. token; use features='mean'"):
        choose_kind(resnet, "cls+mean")
    with pytest.raises(BackboneError, match=r"no heads with a .CLS. row"):
        choose_kind(resnet, "heads")
    with pytest.raises(ConfigError, match="did you mean 'mean'"):
        choose_kind(vit, "cls+meen")
    with pytest.raises(ConfigError, match="a piece twice"):
        choose_kind(vit, "grid+grid")
    with pytest.raises(BackboneError, match="carry no attention rows"):
        pool_features(Features(pooled=torch.zeros(1, 3), patches=torch.zeros(1, 4, 3), grid=(2, 2)), "heads")
