"""What a method returns for one training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from vesalius.records.features import Features

__all__ = ["StepOutput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """The loss to minimise, figures to log, and the student's features for guidance and monitors.

    Attributes:
        loss: Scalar, differentiable.
        logs: Detached scalars by name.
        student_features: One `Features` a view, in the view plan's order: of all views, or of the first ones where
            a method has no student look at the rest.
    """

    loss: Float[Tensor, ""]
    logs: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    student_features: tuple[Features, ...] = ()
