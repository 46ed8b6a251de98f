"""SimSiam: a predictor and a stopped gradient are enough (Chen & He 2021, arXiv 2011.10566)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.heads.mlp_head import MlpHead
from vesalius.losses.negative_cosine_loss import negative_cosine_loss
from vesalius.methods.base import Method
from vesalius.methods.embedding_spread import embedding_spread
from vesalius.methods.stacked_views import features_of, stack_for_norms
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["SimSiam", "SimSiamConfig"]


class SimSiamConfig(StrictModel):
    """Options of SimSiam; the defaults are the paper's.

    Attributes:
        dim: Width of the projector's three layers, and what is compared.
        predictor_hidden: Bottleneck of the predictor.
        predictor_lr: `constant`: the predictor keeps its first learning rate (section 4.2); `scheduled`: as the rest.
    """

    name: Literal["simsiam"] = "simsiam"
    dim: int = Field(default=2048, ge=2)
    predictor_hidden: int = Field(default=512, ge=1)
    predictor_lr: Literal["constant", "scheduled"] = "constant"


class SimSiam(Method):
    """One network with projector and predictor; its own projections are the targets."""

    trained = ("student", "projector", "predictor")

    def __init__(self, config: SimSiamConfig, backbone: Backbone, *, teacher_views: int = 2) -> None:
        """Put the heads on the student; the first `teacher_views` views give targets."""
        super().__init__()
        self.config, self.student, self.shared_views = config, backbone, teacher_views
        dim = config.dim
        self.projector = MlpHead((backbone.feature_dim, dim, dim, dim), last_norm="plain", bias=False)
        self.predictor = MlpHead((dim, config.predictor_hidden, dim), bias=False, last_bias=True)
        if config.predictor_lr == "constant":
            self.constant_lr = ("predictor.",)

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute -cos, the mean over the pairs; see `Method.forward`."""
        del progress
        # Batch norm sees one view at a time.
        features = features_of(self.student, stack_for_norms(self.student, views), len(views[0].pixels))
        before_norm = [self.projector.layers(one.pooled) for one in features]
        projected = torch.stack([self.projector.last_norm(one) for one in before_norm])
        predicted = torch.stack([self.predictor(one) for one in projected])
        loss = negative_cosine_loss(predicted, projected[: self.shared_views])
        logs = {
            "embedding_spread": embedding_spread(features[0].pooled, before_norm[0]),
            "least_loss": torch.tensor(-1.0),
        }
        return StepOutput(loss=loss, logs=logs, student_features=features)
