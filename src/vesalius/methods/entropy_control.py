"""A teacher temperature that holds the teacher's entropy where it says something, whatever the scale of its logits."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.distributed import all_reduce_mean

__all__ = ["EntropyControl"]

FIRST_STEPS, FIRST_ROUNDS, FIRST_GAIN, GAIN = 5, 20, 1.0, 0.3


class EntropyControl(nn.Module):
    """Moves T_t so that the mean entropy of softmax((z_t - c) / T_t) stays at a share of ln K.

    Not of the DINO paper. With few images and few steps the centred logits of an untrained teacher differ by a small
    fraction of any fixed temperature: its targets are uniform, the student learns a constant, and the logits shrink
    further. Holding the entropy instead of the temperature keeps the targets informative from the first step on; the
    study is in docs/LOG.md.

    Each step: T <- T exp(g (share - H / ln K)), clamped to [1e-4, 0.2]; the first steps repeat this until it settles.
    """

    temperature: Tensor
    steps: Tensor

    def __init__(self, prototypes: int, *, share: float, start: float) -> None:
        """Hold the entropy at `share` of ln `prototypes`, from the temperature `start` on.

        Raises:
            ValueError: The share is not inside (0, 1).
        """
        super().__init__()
        if not 0.0 < share < 1.0:
            raise ValueError(f"share = {share}: a share of ln K between 0 and 1 is needed")
        self.share, self.largest = share, math.log(prototypes)
        self.register_buffer("temperature", torch.tensor(float(start)))
        self.register_buffer("steps", torch.tensor(0))

    @torch.no_grad()
    def adjust(self, centred: Float[Tensor, "views batch prototypes"]) -> Float[Tensor, ""]:
        """Move the temperature for these centred logits and return it."""
        settling = int(self.steps) < FIRST_STEPS
        for _ in range(FIRST_ROUNDS if settling else 1):
            probabilities = (centred / self.temperature).softmax(dim=-1)
            entropy = all_reduce_mean(torch.special.entr(probabilities).sum(dim=-1).mean())
            gain = FIRST_GAIN if settling else GAIN
            moved = self.temperature * torch.exp(gain * (self.share - entropy / self.largest))
            self.temperature.copy_(moved.clamp(1e-4, 0.2))
        self.steps += 1
        return self.temperature.clone()
