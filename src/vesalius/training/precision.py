"""What the hardware multiplies fast, chosen once and said aloud."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["choose_precision", "prefer_explicit_attention"]


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


def prefer_explicit_attention(module: nn.Module, *, accelerator: str) -> None:
    """On a CPU, leave fused attention: its bf16 backward pass is slower there than the plain products."""
    if accelerator == "cpu":
        for part in module.modules():
            if hasattr(part, "fused_attn"):
                setattr(part, "fused_attn", False)  # noqa: B010 (a module types its attributes as tensors)


def _cpu_multiplies_bf16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe)()) for probe in probes if hasattr(torch.cpu, probe))
