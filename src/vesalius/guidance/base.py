"""The contract of guidance: features, views and knowledge in, loss out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from vesalius.config import StrictModel
from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge
from vesalius.records.view import View
from vesalius.schedules import Progress, linear

__all__ = ["Guidance", "GuidanceOutput", "WeightedConfig"]


class WeightedConfig(StrictModel):
    """Options that every kind of guidance has.

    Attributes:
        weight: Of the loss.
        weight_end: Weight at the end of the training, reached in a straight line; the same by default.
    """

    weight: float = Field(default=1.0, gt=0)
    weight_end: float | None = Field(default=None, ge=0)

    def weight_at(self, progress: Progress) -> float:
        """Return the weight of a step."""
        end = self.weight if self.weight_end is None else self.weight_end
        return linear(self.weight, end, progress.fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidanceOutput:
    """The loss to add to the method's, weighted already, and figures to log."""

    loss: Float[Tensor, ""]
    logs: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


class Guidance(nn.Module, ABC):
    """Knows nothing of the method: it sees the student's features of each view and what is known of the images.

    Attributes:
        needs_attention, needs_patches, needs_inner: What the student's features must carry.
    """

    needs_attention: bool = False
    needs_patches: bool = False
    needs_inner: bool = False

    @abstractmethod
    def forward(
        self, features: Sequence[Features], views: Sequence[View], knowledge: Knowledge, progress: Progress
    ) -> GuidanceOutput:
        """Compute the loss of one batch.

        Args:
            features: The student's, one a view.
            views: In the same order.
            knowledge: Of the images that the views show.
            progress: The step about to be taken.
        """

    def after_step(self, momentum: float) -> None:
        """Let what is kept with the run follow what was trained, as slowly as the exported backbone does.

        Args:
            momentum: See `Method.export_momentum`.
        """

    def kept_tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Yield what is kept with the run for use on the exported backbone, by name: by default what was trained."""
        return self.trained_parameters()

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield what the optimizer trains beside the method, by name; nothing by default."""
        return ()
