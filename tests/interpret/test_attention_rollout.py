"""Attention rolled out, against a product of matrices in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vesalius.backbones.block_attention import block_attentions
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.errors import BackboneError
from vesalius.interpret.attention_rollout import attention_rollout


@pytest.mark.parametrize(("name", "prefix", "patch"), [("test_vit", 1, 16), ("deit_tiny_distilled_patch16_224", 2, 16)])
@pytest.mark.parametrize("has_cls", [True, False])
def test_equals_the_product(name: str, prefix: int, patch: int, has_cls: bool) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=64)).eval()
    blocks = block_attentions(backbone, torch.randn(2, 1, 64, 96))
    rolled = np.eye(prefix + 24)
    for block in blocks:
        mean = np.mean([head.numpy().astype(np.float64) for head in block.weights[1, 0]], axis=0)
        rolled = (0.5 * mean + 0.5 * np.eye(len(mean))) @ rolled
    row = rolled[0] if has_cls else rolled[prefix:].mean(axis=0)
    found = attention_rollout(blocks, has_cls=has_cls)
    assert found.shape == (2, 64 // patch, 96 // patch)
    np.testing.assert_allclose(found[1].flatten().numpy(), row[prefix:], rtol=0, atol=1e-6)
    np.testing.assert_allclose(rolled.sum(axis=1), 1, atol=1e-5)


def test_tokens_that_are_merged_are_refused() -> None:
    for name in ("swin_tiny_patch4_window7_224", "vitae_v2_half"):
        backbone = create_backbone(BackboneConfig(name=name, image_size=64)).eval()
        with pytest.raises(BackboneError, match="windows or merge tokens"):
            attention_rollout(block_attentions(backbone, torch.randn(1, 1, 64, 64)))
