"""Self-attention by plain products, laid out so that a CPU copies queries, keys and values once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from timm.layers.attention import Attention
from torch import Tensor, nn

__all__ = ["ExplicitAttention", "use_explicit_attention"]


class ExplicitAttention(Attention):
    """timm's `Attention` without its fused kernel: the same parameters, and the same figures to rounding.

    timm's own products without the kernel scale the queries in a pass of their own and copy every transposed key; here
    one copy serves all three, and the products read the keys transposed and scale as they go. 6 % of a training step of
    a small ViT (docs/LOG.md).
    """

    def forward(
        self, x: Float[Tensor, "batch tokens dim"], attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Float[Tensor, "batch tokens out"]:
        """Attend; with the fused kernel switched on, or with a mask, as timm does."""
        if self.fused_attn or attn_mask is not None or is_causal:
            given: Tensor = super().forward(x, attn_mask=attn_mask, is_causal=is_causal)
            return given
        batch, tokens, _ = x.shape
        apart = self.qkv(x).view(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = apart.reshape(3, batch * self.num_heads, tokens, -1).unbind(0)
        query, key = self.q_norm(query), self.k_norm(key)
        # With beta = 0 the first argument is not read.
        scores = torch.baddbmm(query.new_empty(()), query, key.transpose(1, 2), beta=0, alpha=self.scale)
        mixed = torch.bmm(self.attn_drop(scores.softmax(dim=-1)), value)
        mixed = mixed.view(batch, self.num_heads, tokens, -1).transpose(1, 2).flatten(2)
        mixed = self.norm(mixed)
        if self.gate is not None:
            mixed = mixed * self.gate(x).sigmoid()
        out: Tensor = self.proj_drop(self.proj(mixed))
        return out


def use_explicit_attention(module: nn.Module) -> None:
    """Switch the fused kernel off wherever there is one; plain timm attention becomes `ExplicitAttention`, in place."""
    part: Any
    for part in module.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = False
        if type(part) is Attention:
            part.__class__ = ExplicitAttention
