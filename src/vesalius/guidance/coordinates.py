"""Every patch token learns where it lies in the template: dense, and free of labels."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from vesalius.distributed import divisor_of
from vesalius.guidance.base import Guidance, GuidanceOutput, WeightedConfig
from vesalius.guidance.kept_heads import PlacesHead
from vesalius.guidance.maps_in_view import coordinates_at_tokens
from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["Coordinates", "CoordinatesConfig"]


class CoordinatesConfig(WeightedConfig):
    """Options of the coordinate guidance.

    Attributes:
        weight: Of the loss.
        beta: Of the smooth L1 loss, in shares of the template's side: errors below it count squared.
        tokens: Which patch tokens are asked: `last`, those of the backbone's output, or `inner`, those that enter a
            ViT's last block, of which its [CLS] attention takes its keys. By default (`auto`) they are `inner` where
            [CLS] alone is trained, so that the rest of the last block need not be computed, and `last` elsewhere.
    """

    weight: float = Field(default=20.0, gt=0)
    beta: float = Field(default=0.025, gt=0)
    tokens: Literal["auto", "last", "inner"] = "auto"


class Coordinates(Guidance):
    """One linear layer on the patch tokens, smooth L1 to the places that the registration found."""

    def __init__(
        self, config: CoordinatesConfig, names: PartNames, *, dim: int, inner: bool = False, template_side: int = 1
    ) -> None:
        """Build the head for tokens of `dim`, inner or last ones; errors are logged in pixels of such a template."""
        super().__init__()
        self.config, self.names, self.template_side = config, names, template_side
        self.head = PlacesHead(dim, inner=inner)
        self.kept = copy.deepcopy(self.head).requires_grad_(False)
        self.needs_patches, self.needs_inner = not inner, inner

    def forward(
        self, features: Sequence[Features], views: Sequence[View], knowledge: Knowledge, progress: Progress
    ) -> GuidanceOutput:
        """Compute the loss; see `Guidance.forward`."""
        predicted, places, trusted = [], [], []
        for feature, view in zip(features, views, strict=True):
            target, known = coordinates_at_tokens(knowledge, view, self.names, feature)
            predicted.append(self.head(feature))
            places.append(target)
            trusted.append(known)
        sums = [self._sums(*one) for one in zip(predicted, places, trusted, strict=True)]
        error, distance, total = torch.stack([torch.stack(one) for one in sums]).sum(0)
        count = divisor_of(total)
        loss = error / count
        error_px = self.template_side * (distance / count).detach()
        logs = {"coordinate_loss": loss.detach(), "coordinate_error_px": error_px}
        return GuidanceOutput(loss=self.config.weight_at(progress) * loss, logs=logs)

    @torch.no_grad()
    def after_step(self, momentum: float) -> None:
        """Let the kept head follow: the student's own would misread a teacher, whose tokens are of steps ago."""
        own: list[Tensor] = list(self.kept.parameters())
        target: list[Tensor] = list(self.head.parameters())
        torch._foreach_lerp_(own, target, 1.0 - momentum)

    def kept_tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Yield the head that goes with the exported backbone."""
        return ((f"coordinates.{name}", value) for name, value in self.kept.state_dict().items())

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield the head."""
        yield from self.head.named_parameters(prefix="coordinates")

    def _sums(self, predicted: Tensor, places: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sum the loss, the distance (logged) and the weights over all patches."""
        loss = functional.smooth_l1_loss(predicted, places, beta=self.config.beta, reduction="none").mean(-1)
        distance = (predicted.detach() - places).norm(dim=-1)
        return (loss * known).sum(), (distance * known).sum(), known.sum()
