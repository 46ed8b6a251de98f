"""MoCo v3: contrast with the batch's own keys, for ViTs and ResNets (Chen et al. 2021, arXiv 2104.02057)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.distributed import gather_rows, own_rows
from vesalius.heads.mlp_head import MlpHead
from vesalius.losses.info_nce_loss import info_nce_loss
from vesalius.losses.pairs_of_views import pairs_of_views
from vesalius.methods.base import Method
from vesalius.methods.embedding_spread import embedding_spread
from vesalius.methods.momentum_teacher import MomentumTeacher
from vesalius.methods.stacked_views import features_of, stack_for_norms
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress, cosine

__all__ = ["MocoV3", "MocoV3Config"]


class MocoV3Config(StrictModel):
    """Options of MoCo v3; the defaults are the paper's for ViTs.

    Attributes:
        hidden, dim: Of projector and predictor.
        heads: `vit`: a projector of three layers and a predictor that ends in batch norm; `resnet`: two layers, and no
            batch norm at the predictor's end; `auto`: `vit` for what embeds patches (ViT, DeiT, Swin), else `resnet`.
        temperature: tau.
        teacher_momentum: m at the start, cosine to 1.
        frozen_patch_embedding: Whether a ViT keeps its random patch projection, which steadies the training (section
            4.2); of no meaning for families without one.
    """

    name: Literal["moco-v3"] = "moco-v3"
    hidden: int = Field(default=4096, ge=1)
    dim: int = Field(default=256, ge=2)
    heads: Literal["auto", "vit", "resnet"] = "auto"
    temperature: float = Field(default=0.2, gt=0)
    teacher_momentum: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.99
    frozen_patch_embedding: bool = True


class MocoV3(Method):
    """Student with projector and predictor; the teacher's keys of all processes are what a query is told apart from."""

    trained = ("student", "projector", "predictor")

    def __init__(self, config: MocoV3Config, backbone: Backbone, *, teacher_views: int = 2) -> None:
        """Build heads and teacher around a student whose first `teacher_views` views give keys."""
        super().__init__()
        self.config, self.student, self.shared_views = config, backbone, teacher_views
        embeds_patches = backbone.patch_size is not None
        self.vit_heads = embeds_patches if config.heads == "auto" else config.heads == "vit"
        self.projector = self._make_projector()
        last_norm: Literal["none", "plain"] = "plain" if self.vit_heads else "none"
        self.predictor = MlpHead((config.dim, config.hidden, config.dim), last_norm=last_norm, bias=False)
        self.teacher = MomentumTeacher(backbone.twin(), self._make_projector(), backbone, self.projector)
        if config.frozen_patch_embedding:
            backbone.freeze_patch_embedding()

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute 2 tau InfoNCE in both directions, twice the mean over the pairs; see `Method.forward`."""
        # Batch norm sees one view at a time, in the teacher as well, which stays in training mode.
        batch, shared, tau = len(views[0].pixels), views[: self.shared_views], self.config.temperature
        with torch.no_grad():
            seen = features_of(self.teacher.backbone, stack_for_norms(self.student, shared), batch)
            keys = [gather_rows(self.teacher.head(one.pooled)) for one in seen]
        features = features_of(self.student, stack_for_norms(self.student, views), batch)
        before_norm = [self.projector.layers(one.pooled) for one in features]
        queries = [self.predictor(self.projector.last_norm(one)) for one in before_norm]
        places = own_rows(batch, queries[0].device)
        losses = [
            info_nce_loss(queries[one], keys[other], places=places, temperature=tau)
            for one, other in pairs_of_views(len(views), len(keys))
        ]
        logs = {
            "embedding_spread": embedding_spread(features[0].pooled, before_norm[0]),
            "loss_by_chance": torch.tensor(2 * 2 * tau * math.log(len(keys[0]))),
            "teacher_momentum": torch.tensor(self.teacher_momentum(progress)),
        }
        return StepOutput(loss=2 * 2 * tau * torch.stack(losses).mean(), logs=logs, student_features=features)

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        self.teacher.update(self.student, self.projector, self.teacher_momentum(progress))

    def teacher_momentum(self, progress: Progress) -> float:
        """EMA momentum: cosine from its start to 1 over the training, per step."""
        return cosine(float(self.config.teacher_momentum), 1.0, progress.fraction)

    def _make_projector(self) -> MlpHead:
        hidden = [self.config.hidden] * (2 if self.vit_heads else 1)
        return MlpHead((self.student.feature_dim, *hidden, self.config.dim), last_norm="plain", bias=False)
