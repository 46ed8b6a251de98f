"""The contract of guidance: features, views and knowledge in, loss out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["Guidance", "GuidanceOutput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidanceOutput:
    """The loss to add to the method's, weighted already, and figures to log."""

    loss: Float[Tensor, ""]
    logs: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


class Guidance(nn.Module, ABC):
    """Knows nothing of the method: it sees the student's features of each view and what is known of the images.

    Attributes:
        needs_attention, needs_patches: What the student's features must carry.
    """

    needs_attention: bool
    needs_patches: bool

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

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield what the optimizer trains beside the method, by name; nothing by default."""
        return ()
