"""The same place of the anatomy is told apart from patient to patient, and known again in another view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from vesalius.distributed import gather_rows
from vesalius.errors import ConfigError
from vesalius.guidance.base import Guidance, GuidanceOutput, WeightedConfig
from vesalius.guidance.maps_in_view import cell_shares, coordinates_at_tokens
from vesalius.losses.nt_xent_loss import nt_xent_loss
from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["PlaceContrast", "PlaceContrastConfig"]

SMALLEST_REGION = 0.5
"""Patches of a region that must be in view before it is compared."""


class PlaceContrastConfig(WeightedConfig):
    """Options of the contrast by place.

    Attributes:
        weight: Of the loss.
        cells: The template is cut into this many regions a side.
        temperature: Of the contrast.
        embedding: Width of the vectors that are compared.
    """

    cells: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.2, gt=0)
    embedding: int = Field(default=64, ge=1)


class PlaceContrast(Guidance):
    """NT-Xent among the images of a batch, region by region of the template.

    What a region looks like is mostly what the anatomy looks like there, which all patients share and which coordinates
    teach; what is left between two patients at one place is what sets them apart, disease included. So the two first
    views of an image are compared region by region, and the negatives of a region are the same region of the other
    images, of every process, never another place, which would be too easy to tell. Each region's mean over the batch is
    taken away first: beside it a young network's images differ by next to nothing.
    """

    needs_patches = True

    def __init__(self, config: PlaceContrastConfig, names: PartNames, *, dim: int) -> None:
        """Build the projector for tokens of `dim`."""
        super().__init__()
        self.config, self.names = config, names
        self.projector = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, config.embedding))

    def forward(
        self, features: Sequence[Features], views: Sequence[View], knowledge: Knowledge, progress: Progress
    ) -> GuidanceOutput:
        """Compute the loss; see `Guidance.forward`.

        Raises:
            ConfigError: The plan shows an image once only.
        """
        if len(views) < 2:
            raise ConfigError(
                "guidance.contrast compares two views of an image, the plan has one: take a plan of two views, "
                "for example small-chest"
            )
        seen = [self._regions(feature, view, knowledge) for feature, view in zip(features[:2], views[:2], strict=True)]
        (first, one), (second, other) = seen
        known = one & other
        weight = known[..., None] / (2 * known.sum(1).clamp_min(1))[:, None, None]
        shared = ((first + second) * weight).sum(1, keepdim=True)
        embedded = (self.projector(functional.layer_norm(each - shared, each.shape[-1:])) for each in (first, second))
        loss = nt_xent_loss(*embedded, temperature=self.config.temperature, known=known)
        logs = {"place_contrast_loss": loss.detach(), "place_contrast_regions": known.float().mean()}
        return GuidanceOutput(loss=self.config.weight_at(progress) * loss, logs=logs)

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield the projector."""
        yield from self.projector.named_parameters(prefix="place_contrast")

    def _regions(
        self, features: Features, view: View, knowledge: Knowledge
    ) -> tuple[Float[Tensor, "regions batch dim"], Bool[Tensor, "regions batch"]]:
        """Average the tokens of each region; say which regions are in view."""
        assert features.patches is not None  # noqa: S101 (build_guidance asked for them)
        places, known = coordinates_at_tokens(knowledge, view, self.names, features)
        shares = cell_shares(places, self.config.cells) * known[..., None]
        amount = shares.sum(1)
        with torch.autocast(features.patches.device.type, enabled=False):
            sums = torch.bmm(shares.transpose(1, 2), features.patches.float())
        means = sums / amount.clamp_min(1e-6)[..., None]
        return gather_rows(means).transpose(0, 1), gather_rows(amount > SMALLEST_REGION).T
