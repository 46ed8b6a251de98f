"""What tokens attend to, against products worked out in double precision and what the blocks make of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock

from vesalius.backbones.block_attention import BlockAttention, block_attentions
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.errors import BackboneError

PLAIN = [
    ("test_vit", {}, (64, 96), (4, 6), 1),
    ("vit_tiny_patch16_224", {"reg_tokens": 4}, (48, 64), (3, 4), 5),
    ("vit_tiny_patch16_224", {"patch_size": 8}, (48, 40), (6, 5), 1),
    ("deit_tiny_distilled_patch16_224", {}, (64, 64), (4, 4), 2),
]
WINDOWED = [("swin_tiny_patch4_window7_224", 96), ("swin_tiny_patch4_window7_224", 224), ("vitae_v2_half", 100)]


def backbone_of(name: str, size: int, **arguments: Any) -> TimmBackbone:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=size, arguments=arguments)).eval()
    for weight in backbone.parameters():
        weight.data.mul_(1.5)  # peaked attention
    return backbone


@contextmanager
def inputs_of(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """The first argument and the output of every pass."""
    seen: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _, arguments, output: seen.extend([arguments[0], output]))
    yield seen
    handle.remove()


@pytest.mark.parametrize(("name", "arguments", "size", "grid", "prefix"), PLAIN)
def test_of_a_vit_equals_the_softmax_in_double(
    name: str, arguments: dict[str, Any], size: tuple[int, int], grid: tuple[int, int], prefix: int
) -> None:
    backbone = backbone_of(name, 64, **arguments)
    x = torch.randn(2, 1, *size)
    with inputs_of(backbone.model.blocks[1].attn) as seen:
        blocks = block_attentions(backbone, x)
    attention: Any = backbone.model.blocks[1].attn
    tokens = seen[0].double()
    query, key, _ = (
        (tokens @ part.double().T + bias.double()).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
        for part, bias in zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
    )
    expected = torch.softmax(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5, dim=-1)
    assert len(blocks) == len(backbone.model.blocks)
    assert blocks[1].name == "blocks.1.attn"
    assert blocks[1].grid == grid
    torch.testing.assert_close(blocks[1].weights[:, 0].double(), expected, rtol=0, atol=1e-5)
    assert blocks[1].places.tolist() == [[-1] * prefix + list(range(grid[0] * grid[1]))]


def test_row_of_cls_is_the_one_that_features_give() -> None:
    backbone = backbone_of("test_vit", 64)
    x = torch.randn(2, 1, 64, 64)
    [last] = block_attentions(backbone, x, last=True)
    with torch.no_grad():
        row = backbone.forward_features(x, attention=True).attention
    torch.testing.assert_close(last.weights[:, 0, :, 0, 1:], row, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "size"), WINDOWED)
def test_in_windows_gives_what_every_block_computes(name: str, size: int) -> None:
    """Values gathered by the places, mixed by the weights, projected and put back are the block's own output."""
    backbone = backbone_of(name, size)
    x = torch.randn(2, 1, size, size)
    blocks = block_attentions(backbone, x)
    for place in {0, 1, len(blocks) // 2, len(blocks) - 1}:
        block = blocks[place]
        owner: Any = backbone.model.get_submodule(block.name.removesuffix(".attn"))
        with inputs_of(owner.norm1) as normed, inputs_of(owner.attn) as attended:
            backbone.model.forward_features(x)
        if isinstance(owner, SwinTransformerBlock):
            maps = normed[1].flatten(1, 2)
            expected = owner._attn(normed[1]).flatten(1, 2)
        else:
            maps, expected = normed[1], None
        mixed = mixed_by(block, maps, owner.attn)
        if expected is None:
            expected = joined(block, attended[1])
        torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-4)
    shares = blocks[0].weights.sum(-1)
    torch.testing.assert_close(shares, torch.ones_like(shares))


def mixed_by(block: BlockAttention, maps: torch.Tensor, attention: Any) -> torch.Tensor:
    width = attention.qkv.weight.shape[0] // 3
    bias = None if attention.qkv.bias is None else attention.qkv.bias[2 * width :]
    windows = torch.where((block.places >= 0)[None, ..., None], maps[:, block.places.clamp_min(0)], 0.0)
    values = torch.nn.functional.linear(windows, attention.qkv.weight[2 * width :], bias)
    values = values.unflatten(3, (attention.num_heads, -1)).transpose(2, 3)
    mixed = attention.proj((block.weights @ values).transpose(2, 3).flatten(3))
    return joined(block, mixed.flatten(0, 1))


def joined(block: BlockAttention, windows: torch.Tensor) -> torch.Tensor:
    windows = windows.unflatten(0, (-1, len(block.places)))
    out = windows.new_zeros(len(windows), block.grid[0] * block.grid[1], windows.shape[-1])
    there = block.places >= 0
    out[:, block.places[there]] = windows[:, there]
    return out


@pytest.mark.parametrize(("name", "size"), WINDOWED[:1] + WINDOWED[2:])
def test_every_patch_is_in_one_window(name: str, size: int) -> None:
    backbone = backbone_of(name, size)
    for block in block_attentions(backbone, torch.randn(1, 1, size, size)):
        there = block.places[block.places >= 0]
        assert sorted(there.tolist()) == list(range(block.grid[0] * block.grid[1]))


def test_fused_kernels_are_back_afterwards() -> None:
    backbone = backbone_of("test_vit", 64)
    attention: Any = backbone.model.blocks[0].attn
    attention.fused_attn = True
    x = torch.randn(1, 1, 64, 64)
    block_attentions(backbone, x)
    assert attention.fused_attn
    with pytest.raises(BackboneError, match="no attention among its tokens"):
        block_attentions(create_backbone(BackboneConfig(name="resnet18")), x)
