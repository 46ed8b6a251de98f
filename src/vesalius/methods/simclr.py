"""SimCLR: two views of an image told apart from all other images of the batch (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.distributed import gather_rows
from vesalius.heads.mlp_head import MlpHead
from vesalius.losses.nt_xent_loss import nt_xent_loss
from vesalius.methods.base import Method
from vesalius.methods.embedding_spread import embedding_spread
from vesalius.methods.stacked_views import features_of, stack_by_size
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["SimClr", "SimClrConfig"]


class SimClrConfig(StrictModel):
    """Options of SimCLR; the defaults are the paper's (section 2.1, appendix B.6 for the temperature of short runs).

    Attributes:
        hidden, dim: Of the projector.
        temperature: tau.
    """

    name: Literal["simclr"] = "simclr"
    hidden: int = Field(default=2048, ge=1)
    dim: int = Field(default=128, ge=2)
    temperature: float = Field(default=0.1, gt=0)


class SimClr(Method):
    """One network; all other images of all processes are negatives."""

    trained = ("student", "projector")

    def __init__(self, config: SimClrConfig, backbone: Backbone) -> None:
        """Put a projector on the student."""
        super().__init__()
        self.config, self.student = config, backbone
        self.projector = MlpHead((backbone.feature_dim, config.hidden, config.dim), bias=False)

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute the mean NT-Xent over all pairs of views; see `Method.forward`."""
        del progress
        features = features_of(self.student, stack_by_size(views), len(views[0].pixels))
        projected = self.projector(torch.cat([one.pooled for one in features])).unflatten(0, (len(views), -1))
        gathered = [gather_rows(one) for one in projected]
        pairs = itertools.combinations(gathered, 2)
        losses = [nt_xent_loss(one, two, temperature=self.config.temperature) for one, two in pairs]
        by_chance = math.log(2 * len(gathered[0]) - 1)
        logs = {
            "embedding_spread": embedding_spread(features[0].pooled, projected[0]),
            "loss_by_chance": torch.tensor(by_chance),
        }
        return StepOutput(loss=torch.stack(losses).mean(), logs=logs, student_features=features)
