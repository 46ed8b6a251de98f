"""What is chosen for the hardware, and that it changes nothing but speed."""

from __future__ import annotations

import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.explicit_attention import ExplicitAttention
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.training.precision import choose_precision, suit_accelerator


@pytest.fixture
def backbone() -> TimmBackbone:
    return create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)).eval()


def dtype_between_blocks(backbone: TimmBackbone, *, bf16: bool) -> torch.dtype:
    seen: list[torch.dtype] = []
    handle = backbone.model.blocks[6].register_forward_pre_hook(lambda module, given: seen.append(given[0].dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        backbone(torch.randn(1, 1, 64, 64))
    handle.remove()
    return seen[0]


def test_on_a_cpu_attention_is_explicit_and_tokens_follow_autocast(backbone: TimmBackbone) -> None:
    assert dtype_between_blocks(backbone, bf16=True) == torch.float32
    suit_accelerator(backbone, accelerator="cpu")
    attentions = [block.attn for block in backbone.model.blocks]
    assert all(type(attention) is ExplicitAttention and not attention.fused_attn for attention in attentions)
    assert dtype_between_blocks(backbone, bf16=True) == torch.bfloat16
    assert dtype_between_blocks(backbone, bf16=False) == torch.float32


def test_single_precision_gives_the_same_and_bf16_nearly(backbone: TimmBackbone) -> None:
    x = torch.randn(4, 1, 64, 64)
    with torch.no_grad():
        exact = backbone(x)
        suit_accelerator(backbone, accelerator="cpu")
        torch.testing.assert_close(backbone(x), exact, rtol=1e-5, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert float((backbone(x) - exact).norm() / exact.norm()) < 0.03


def test_elsewhere_nothing_changes(backbone: TimmBackbone) -> None:
    fused = [block.attn.fused_attn for block in backbone.model.blocks]
    suit_accelerator(backbone, accelerator="cuda")
    assert [block.attn.fused_attn for block in backbone.model.blocks] == fused
    assert not any(type(block.attn) is ExplicitAttention for block in backbone.model.blocks)
    assert dtype_between_blocks(backbone, bf16=True) == torch.float32


@pytest.mark.parametrize(("wanted", "word"), [("bf16", "bf16-mixed"), ("fp32", "32-true")])
def test_a_precision_that_was_asked_for_is_taken(wanted: str, word: str) -> None:
    assert choose_precision(wanted, accelerator="cpu") == (word, f"{wanted}, as asked")


def test_precision_of_its_own_follows_the_hardware_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast, word in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr("vesalius.training.precision._cpu_multiplies_bf16", lambda fast=fast: fast)
        chosen, why = choose_precision("auto", accelerator="cpu")
        assert chosen == word
        assert ("does not multiply" in why) is not fast
