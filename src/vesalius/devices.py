"""Where to compute, said in one word."""

from __future__ import annotations

import torch

__all__ = ["choose_device"]


def choose_device(device: str) -> torch.device:
    """Resolve `auto` to the accelerator that is there, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
