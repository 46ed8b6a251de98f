"""Attention by plain products gives what timm's own gives, and is used where it was asked for."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers.attention import Attention

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.explicit_attention import ExplicitAttention, use_explicit_attention


@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "scale_norm": True}, {"gated": True}, {"qkv_bias": True}])
@pytest.mark.parametrize("fused", [False, True])
def test_figures_and_gradients_are_timms(options: dict[str, bool], fused: bool) -> None:
    torch.manual_seed(0)
    theirs = Attention(48, num_heads=3, norm_layer=torch.nn.LayerNorm, **options)
    theirs.fused_attn = fused
    ours = copy.deepcopy(theirs)
    use_explicit_attention(ours)
    assert type(ours) is ExplicitAttention
    x = torch.randn(2, 11, 48)
    found = []
    for attention in (theirs, ours):
        given = x.clone().requires_grad_()
        output = attention(given)
        output.square().sum().backward()
        found.append([output.detach(), given.grad, *(p.grad for p in attention.parameters())])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_a_mask_and_the_fused_kernel_go_timms_way() -> None:
    theirs, x = Attention(48, num_heads=3), torch.randn(2, 5, 48)
    ours = copy.deepcopy(theirs)
    use_explicit_attention(ours)
    mask = torch.tensor([True, True, True, False, True]).expand(2, 1, 5, 5)
    torch.testing.assert_close(ours(x, attn_mask=mask), theirs(x, attn_mask=mask), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours(x, is_causal=True), theirs(x, is_causal=True), rtol=1e-5, atol=1e-6)
    ours.fused_attn = True
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_a_backbone_keeps_its_weights_and_copies_stand_alone() -> None:
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=64)).eval()
    x = torch.randn(2, 1, 64, 64)
    before, names = backbone(x), list(backbone.state_dict())
    use_explicit_attention(backbone)
    assert list(backbone.state_dict()) == names
    torch.testing.assert_close(backbone(x), before, rtol=1e-5, atol=1e-5)
    other = copy.deepcopy(backbone)
    with torch.no_grad():
        other.model.blocks[0].attn.qkv.weight.zero_()
    torch.testing.assert_close(backbone(x), before, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(other(x), before)
