"""The last block for [CLS] alone gives what the whole block gives, forwards and backwards."""

from __future__ import annotations

import pytest
import torch

from vesalius.backbones.cls_alone import can_compute_cls_alone
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.errors import BackboneError
from vesalius.records.features import Features

# [CLS] alone; with a distillation token; with layer scale.
VITS = ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "deit3_small_patch16_224"]


def away_from_init(name: str, **options: object) -> TimmBackbone:
    """Build a backbone whose biases and scales are not those of the start."""
    backbone = create_backbone(BackboneConfig(name=name, image_size=64, **options))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return backbone


def with_gradients(backbone: TimmBackbone, x: torch.Tensor, *, patches: bool) -> tuple[Features, list[torch.Tensor]]:
    backbone.zero_grad()
    torch.manual_seed(7)  # stochastic depth
    features = backbone.forward_features(x, patches=patches, attention=True)
    assert features.attention is not None
    (features.pooled.square().sum() + features.attention[:, :, 0].sum()).backward()
    return features, [p.grad.clone() for p in backbone.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", VITS)
@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_vector_attention_and_gradients_are_the_whole_blocks(name: str, drop_path: float) -> None:
    backbone, x = away_from_init(name, drop_path=drop_path).train(), torch.randn(4, 1, 64, 64)
    whole, gradients = with_gradients(backbone, x, patches=True)
    alone, gradients_alone = with_gradients(backbone, x, patches=False)
    assert alone.patches is None and whole.patches is not None  # noqa: PT018
    assert alone.grid == whole.grid == (4, 4)
    torch.testing.assert_close(alone.pooled, whole.pooled, rtol=1e-5, atol=1e-5)
    assert alone.cls is not None
    assert torch.equal(alone.cls, alone.pooled)
    torch.testing.assert_close(alone.attention, whole.attention, rtol=1e-5, atol=1e-6)
    assert len(gradients) == len(gradients_alone)
    for one, two in zip(gradients, gradients_alone, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5 * float(one.abs().max()) + 1e-6)


def test_attention_is_given_over_the_tokens_that_are_left() -> None:
    student = away_from_init("vit_tiny_patch16_224", patch_drop=0.5).train()
    features = student.forward_features(torch.randn(2, 1, 64, 64), patches=False, attention=True)
    assert features.attention is not None
    assert (features.grid, features.attention.shape) == ((4, 4), (2, 3, 8))
    assert features.kept.shape == (2, 8)


def test_the_last_block_has_no_more_work_than_one_query() -> None:
    backbone, seen = away_from_init("vit_tiny_patch16_224").eval(), []
    backbone.model.blocks[-1].mlp.register_forward_hook(lambda module, given, output: seen.append(output.shape[1]))
    x = torch.randn(1, 1, 64, 64)
    backbone(x)
    backbone.forward_features(x)
    assert seen == [1, 17]


def test_the_whole_block_is_back_after_an_error() -> None:
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=64)).eval()
    with pytest.raises(BackboneError, match="does not take input"):
        backbone(torch.randn(1, 3, 64, 64))
    features = backbone.forward_features(torch.randn(1, 1, 64, 64))
    assert features.patches is not None
    assert features.patches.shape == (1, 16, 192)


@pytest.mark.parametrize("pool", ["mean", "average"])
def test_a_vector_of_patches_takes_them_all(pool: str) -> None:
    backbone, x = away_from_init("vit_tiny_patch16_224", pool=pool).eval(), torch.randn(2, 1, 64, 64)
    alone = backbone.forward_features(x, patches=False)
    assert alone.patches is None
    torch.testing.assert_close(alone.pooled, backbone.forward_features(x).pooled)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "resnet18"])
def test_other_families_are_computed_whole(name: str) -> None:
    backbone, x = create_backbone(BackboneConfig(name=name, image_size=64)).eval(), torch.randn(2, 1, 64, 64)
    assert not can_compute_cls_alone(backbone.model)
    alone = backbone.forward_features(x, patches=False)
    assert alone.patches is None
    torch.testing.assert_close(alone.pooled, backbone.forward_features(x).pooled)
