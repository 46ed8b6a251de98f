"""Where all chance of a view comes from."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["uniform"]


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw from [0, 1), on the generator's device."""
    return torch.rand(*shape, generator=generator, device=generator.device)
