"""What the hardware multiplies fast, chosen once and said aloud."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vesalius.backbones.explicit_attention import use_explicit_attention

__all__ = ["choose_precision", "suit_accelerator"]


def choose_precision(wanted: str, *, accelerator: str) -> tuple[str, str]:
    """Return Lightning's precision word and the reason in plain words.

    Args:
        wanted: `auto`, `bf16` or `fp32`.
        accelerator: `cpu`, `cuda` or `mps`.
    """
    words = {"bf16": "bf16-mixed", "fp32": "32-true"}
    if wanted != "auto":
        return words[wanted], f"{wanted}, as asked"
    if accelerator == "cuda":
        fast, where = torch.cuda.is_bf16_supported(including_emulation=False), torch.cuda.get_device_name()
    elif accelerator == "cpu":
        fast, where = _cpu_multiplies_bf16(), "this CPU"
    else:
        fast, where = False, accelerator
    chosen = "bf16" if fast else "fp32"
    return words[chosen], f"{chosen}: {where} {'multiplies' if fast else 'does not multiply'} bf16 fast"


def suit_accelerator(module: nn.Module, *, accelerator: str) -> None:
    """Choose between ways to the same result what is fastest; on a CPU that is two things.

    Fused attention is left (`ExplicitAttention`), because its bf16 backward pass is slower there. And under autocast
    a ViT's tokens stay in bf16 from block to block, where the sum with float32 position embeddings would make every
    later sum and normalisation float32: 6 % of a step, for rounding errors of 1.4 % of the gradient in place of .7 %
    (docs/LOG.md).
    """
    if accelerator != "cpu":
        return
    use_explicit_attention(module)
    for part in module.modules():
        if isinstance(part, VisionTransformer):
            part.norm_pre.register_forward_hook(_in_autocast_dtype)


def _in_autocast_dtype(module: nn.Module, given: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
    del module, given
    return tokens.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else tokens


def _cpu_multiplies_bf16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe)()) for probe in probes if hasattr(torch.cpu, probe))
