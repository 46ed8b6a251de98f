"""The last embeddings seen, first in, first out (MoCo's dictionary, SwAV's queue)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["KeyQueue"]


class KeyQueue(nn.Module):
    """A ring of embeddings of length 1; a checkpoint keeps it.

    It starts with random directions (He et al. 2020, MoCo, algorithm 1), which `filled` tells from what was put in.
    """

    keys: Tensor
    place: Tensor
    seen: Tensor

    def __init__(self, length: int, dim: int) -> None:
        """Make room for `length` embeddings of `dim`."""
        super().__init__()
        self.register_buffer("keys", functional.normalize(torch.randn(length, dim), dim=-1))
        self.register_buffer("place", torch.tensor(0))
        self.register_buffer("seen", torch.tensor(0))

    @property
    def filled(self) -> bool:
        """Whether everything in it was put in."""
        return int(self.seen) >= len(self.keys)

    @torch.no_grad()
    def put(self, keys: Float[Tensor, "batch dim"]) -> None:
        """Let the oldest embeddings make room for these, brought to length 1; of more than it holds, the last ones."""
        length = len(self.keys)
        last = functional.normalize(keys.float(), dim=-1)[-length:]
        rows = (int(self.place) + torch.arange(len(last), device=self.keys.device)) % length
        self.keys[rows] = last
        self.place.copy_((self.place + len(last)) % length)
        self.seen.add_(len(last)).clamp_(max=length)
