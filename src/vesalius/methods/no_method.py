"""No agreement asked for: the student only computes features, and guidance alone teaches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.methods.base import Method
from vesalius.methods.stacked_views import features_of, stack_by_size
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["NoMethod", "NoMethodConfig"]


class NoMethodConfig(StrictModel):
    """There is nothing to choose."""

    name: Literal["none"] = "none"


class NoMethod(Method):
    """A student without teacher, head or loss of its own."""

    def __init__(self, backbone: Backbone) -> None:
        """Take the student."""
        super().__init__()
        self.student = backbone

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute the features of every view; the loss is 0."""
        del progress
        features = features_of(self.student, stack_by_size(views), len(views[0].pixels))
        return StepOutput(loss=views[0].pixels.new_zeros(()), student_features=features)
