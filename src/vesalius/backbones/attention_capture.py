"""The last block's [CLS] attention row, computed beside the forward pass so that every block keeps fused attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import BackboneError

__all__ = ["Captured", "capture_cls_row", "capture_input", "cls_row"]


class Captured:
    """Holds what a hook saw during a forward pass: a row of attention, or tokens."""

    def __init__(self, what: str) -> None:
        """Name it, for the error of a pass that never came."""
        self.what = what
        self.value: Float[Tensor, "batch first second"] | None = None

    def take(self) -> Float[Tensor, "batch first second"]:
        """Return it.

        Raises:
            BackboneError: No forward pass went through the captured block.
        """
        if self.value is None:
            raise BackboneError(f"no {self.what} captured: the forward pass did not reach the last block")
        return self.value


@contextmanager
def capture_cls_row(attention: nn.Module, prefix_tokens: int) -> Iterator[Captured]:
    """Record softmax(q_cls . K / sqrt(d)) over the patches during the forward passes inside the context.

    The softmax runs over all tokens, as the model's own does; the columns of the prefix tokens ([CLS], registers) are
    then left out, so that a row sums to less than one by what [CLS] gives to them. It is differentiable.

    Args:
        attention: A timm `Attention` module (with `qkv`, `num_heads`, `q_norm`, `k_norm`, `scale`).
        prefix_tokens: How many tokens stand before the patches.
    """
    row = Captured("attention was")

    def record(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        row.value = cls_row(module, arguments[0])[:, :, prefix_tokens:]

    handle = attention.register_forward_pre_hook(record)
    try:
        yield row
    finally:
        handle.remove()


@contextmanager
def capture_input(block: nn.Module, prefix_tokens: int) -> Iterator[Captured]:
    """Keep the patch tokens that enter a block during the forward passes inside the context; differentiable.

    Args:
        block: Of a ViT.
        prefix_tokens: How many tokens stand before the patches; they are left out.
    """
    tokens = Captured("tokens were")

    def record(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        del module
        tokens.value = arguments[0][:, prefix_tokens:]

    handle = block.register_forward_pre_hook(record)
    try:
        yield tokens
    finally:
        handle.remove()


def cls_row(module: Any, x: Float[Tensor, "batch all_tokens dim"]) -> Float[Tensor, "batch heads all_tokens"]:
    """Compute softmax(q_cls . K / sqrt(d)) over all tokens for every head, from the input of a timm `Attention`.

    With one query, q . (W x + b) = (q W) . x + q . b costs a key for every token less, and the softmax does not see
    q . b, which is the same for all tokens.
    """
    batch, tokens, _ = x.shape
    heads, width = module.num_heads, module.qkv.weight.shape[0] // 3
    bias = module.qkv.bias
    query_bias, key_bias = (None, None) if bias is None else (bias[:width], bias[width : 2 * width])
    of_keys = module.qkv.weight[width : 2 * width]
    query = nn.functional.linear(x[:, :1], module.qkv.weight[:width], query_bias)
    query = module.q_norm(query.reshape(batch, 1, heads, -1).transpose(1, 2)) * module.scale
    if isinstance(module.k_norm, nn.Identity):
        folded = torch.einsum("bhqk,hkd->bhd", query, of_keys.unflatten(0, (heads, -1)))
        scores = torch.matmul(folded, x.transpose(1, 2))
    else:
        key = nn.functional.linear(x, of_keys, key_bias)
        key = module.k_norm(key.reshape(batch, tokens, heads, -1).transpose(1, 2))
        scores = torch.matmul(query, key.transpose(-2, -1))[:, :, 0]
    return scores.float().softmax(dim=-1)
