"""A ViT's last block for [CLS] alone: no later layer reads the patches, so their share of it need not be computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vesalius.backbones.attention_capture import Captured, cls_row
from vesalius.backbones.explicit_attention import ExplicitAttention

__all__ = ["can_compute_cls_alone", "compute_cls_alone"]


def can_compute_cls_alone(model: nn.Module) -> bool:
    """Say whether the model is a timm ViT of plain blocks with a [CLS] token."""
    blocks = getattr(model, "blocks", None)
    if getattr(model, "cls_token", None) is None or not isinstance(blocks, nn.Sequential):
        return False
    last: Any = blocks[-1]
    return (
        type(last) is Block
        and type(last.attn) in (Attention, ExplicitAttention)
        and getattr(last.attn, "gate", None) is None
    )


@contextmanager
def compute_cls_alone(block: nn.Module, prefix_tokens: int) -> Iterator[Captured]:
    """Make the block return [CLS] alone, `[batch, 1, dim]`, in the forward passes inside the context.

    It is the [CLS] that the whole block would give (to rounding), with its gradients, for a sixth of the work: one
    query instead of one a token, and one token through the projection and the MLP. The values are averaged by the
    attention before they are projected, which is linear, instead of after. The row of attention that this takes is
    kept, see `capture_cls_row`.

    Args:
        block: The last block of a model that `can_compute_cls_alone` admits.
        prefix_tokens: How many tokens stand before the patches; the first of them is [CLS].
    """
    row = Captured("attention was")
    block.forward = partial(_forward, block, row, prefix_tokens)
    try:
        yield row
    finally:
        del block.forward


def _forward(
    block: Any, row: Captured, prefix_tokens: int, x: Float[Tensor, "batch all_tokens dim"]
) -> Float[Tensor, "batch 1 dim"]:
    attention, tokens = block.attn, block.norm1(x)
    weights = cls_row(attention, tokens)
    row.value = weights[:, :, prefix_tokens:]
    mixed = _mixed_values(attention, attention.attn_drop(weights), tokens)
    mixed = attention.proj_drop(attention.proj(attention.norm(mixed)))
    cls = x[:, :1] + block.drop_path1(block.ls1(mixed))
    out: Tensor = cls + block.drop_path2(block.ls2(block.mlp(block.norm2(cls))))
    return out


def _mixed_values(
    attention: Any,
    weights: Float[Tensor, "batch heads all_tokens"],
    tokens: Float[Tensor, "batch all_tokens dim"],
) -> Float[Tensor, "batch 1 width"]:
    """Average the values by the attention: W_v (sum_n a_n x_n) + b_v sum_n a_n for every head."""
    heads = attention.num_heads
    of_values = attention.qkv.weight[-(attention.qkv.weight.shape[0] // 3) :]
    per_head = of_values.unflatten(0, (heads, -1))
    mixed = torch.einsum("bhd,hkd->bhk", torch.matmul(weights, tokens), per_head)
    if attention.qkv.bias is not None:
        bias = attention.qkv.bias[-len(of_values) :].unflatten(0, (heads, -1))
        mixed = mixed + bias * weights.sum(dim=-1, keepdim=True)
    return mixed.flatten(1).unsqueeze(1)
