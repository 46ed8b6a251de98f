"""BYOL: a student predicts what a slow copy of itself makes of another view (Grill et al. 2020, arXiv 2006.07733)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.heads.mlp_head import MlpHead
from vesalius.losses.negative_cosine_loss import negative_cosine_loss
from vesalius.methods.base import Method
from vesalius.methods.embedding_spread import embedding_spread
from vesalius.methods.momentum_teacher import MomentumTeacher
from vesalius.methods.stacked_views import features_of, stack_for_norms
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress, cosine

__all__ = ["Byol", "ByolConfig"]


class ByolConfig(StrictModel):
    """Options of BYOL; the defaults are the paper's.

    Attributes:
        hidden, dim: Of projector and predictor.
        teacher_momentum: tau at the start, cosine to 1; .996 for 1,000 epochs, .99 for 300.
    """

    name: Literal["byol"] = "byol"
    hidden: int = Field(default=4096, ge=1)
    dim: int = Field(default=256, ge=2)
    teacher_momentum: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.996


class Byol(Method):
    """Student with projector and predictor; the teacher follows student and projector."""

    trained = ("student", "projector", "predictor")

    def __init__(self, config: ByolConfig, backbone: Backbone, *, teacher_views: int = 2) -> None:
        """Build heads and teacher around a student whose first `teacher_views` views the teacher sees."""
        super().__init__()
        self.config, self.student, self.shared_views = config, backbone, teacher_views
        self.projector = self._make_projector()
        self.predictor = MlpHead((config.dim, config.hidden, config.dim))
        self.teacher = MomentumTeacher(backbone.twin(), self._make_projector(), backbone, self.projector)

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute 2 - 2 cos in both directions, 4 times the mean over the pairs; see `Method.forward`."""
        # Batch norm sees one view at a time, in the teacher as well, which stays in training mode.
        batch, shared = len(views[0].pixels), views[: self.shared_views]
        with torch.no_grad():
            seen = features_of(self.teacher.backbone, stack_for_norms(self.student, shared), batch)
            targets = torch.stack([self.teacher.head(one.pooled) for one in seen])
        features = features_of(self.student, stack_for_norms(self.student, views), batch)
        projected = [self.projector(one.pooled) for one in features]
        loss = 4 + 4 * negative_cosine_loss(torch.stack([self.predictor(one) for one in projected]), targets)
        logs = {
            "embedding_spread": embedding_spread(features[0].pooled, projected[0]),
            "teacher_momentum": torch.tensor(self.teacher_momentum(progress)),
        }
        return StepOutput(loss=loss, logs=logs, student_features=features)

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        self.teacher.update(self.student, self.projector, self.teacher_momentum(progress))

    def teacher_momentum(self, progress: Progress) -> float:
        """Tau = 1 - (1 - tau_0) (cos(pi k / K) + 1) / 2 (section 3.2)."""
        return cosine(float(self.config.teacher_momentum), 1.0, progress.fraction)

    def _make_projector(self) -> MlpHead:
        return MlpHead((self.student.feature_dim, self.config.hidden, self.config.dim))
