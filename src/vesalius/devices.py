"""Where to compute, said in one word."""

from __future__ import annotations

import torch

__all__ = ["choose_device", "out_of_memory"]

_NO_MEMORY = ("can't allocate memory", "out of memory")


def choose_device(device: str) -> torch.device:
    """Resolve `auto` to the accelerator that is there, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error is the allocator's, of the CPU or of a GPU."""
    words = isinstance(error, RuntimeError) and any(one in str(error) for one in _NO_MEMORY)
    return words or isinstance(error, (MemoryError, torch.OutOfMemoryError))
