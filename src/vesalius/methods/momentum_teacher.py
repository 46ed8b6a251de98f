"""A copy that follows its student by an exponential moving average of the parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vesalius.backbones.interface import Backbone

__all__ = ["MomentumTeacher"]


class MomentumTeacher(nn.Module):
    """Backbone and head without gradients: p_t <- m p_t + (1 - m) p_s, parameters only.

    Buffers (batch-norm statistics) are the teacher's own: it stays in training mode and sees the batch itself, as DINO
    and BYOL do.
    """

    backbone: Backbone
    head: nn.Module

    def __init__(
        self, backbone: Backbone, head: nn.Module, student_backbone: Backbone, student_head: nn.Module
    ) -> None:
        """Start as an exact copy of the student; the two must have the same parameters in the same order."""
        super().__init__()
        backbone.load_state_dict(student_backbone.state_dict())
        head.load_state_dict(student_head.state_dict())
        self.backbone, self.head = backbone, head
        self.requires_grad_(False)

    @torch.no_grad()
    def update(self, student_backbone: nn.Module, student_head: nn.Module, momentum: float) -> None:
        """Move one step towards the student."""
        own: list[Tensor] = [*self.backbone.parameters(), *self.head.parameters()]
        target: list[Tensor] = [*student_backbone.parameters(), *student_head.parameters()]
        torch._foreach_lerp_(own, target, 1.0 - momentum)
