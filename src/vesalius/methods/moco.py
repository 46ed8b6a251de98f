"""MoCo v2: a key in a long queue, made by a slow encoder (He et al. 2020, 1911.05722; Chen et al. 2020, 2003.04297)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from vesalius.backbones.grouped_batch_norm import group_batch_norm
from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.distributed import gather_rows, own_rows
from vesalius.errors import ConfigError
from vesalius.heads.mlp_head import MlpHead
from vesalius.losses.info_nce_loss import info_nce_loss
from vesalius.methods.base import Method
from vesalius.methods.embedding_spread import embedding_spread
from vesalius.methods.key_queue import KeyQueue
from vesalius.methods.momentum_teacher import MomentumTeacher
from vesalius.methods.stacked_views import features_of
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["Moco", "MocoConfig"]


class MocoConfig(StrictModel):
    """Options of MoCo v2; the defaults are the paper's.

    Attributes:
        hidden, dim: Of the projector.
        queue: Keys that are kept; `auto` by `methods.presets`: one longer than the set holds every image's own keys.
        temperature: tau.
        teacher_momentum: m, constant.
        norm_groups: Parts of the batch that batch norm sees apart, keys in another order than queries (shuffling BN,
            section 3.3: the authors' 8 GPUs), so that common statistics do not tell which key is a query's own; 1:
            all images, over all processes. Of no meaning for a backbone without batch norm.
    """

    name: Literal["moco"] = "moco"
    hidden: int = Field(default=2048, ge=1)
    dim: int = Field(default=128, ge=2)
    queue: Annotated[int, Field(ge=1)] | Literal["auto"] = 65536
    temperature: float = Field(default=0.2, gt=0)
    teacher_momentum: float = Field(default=0.999, ge=0, le=1)
    norm_groups: int = Field(default=1, ge=1)


class Moco(Method):
    """The student makes queries of the first view, the teacher keys of the second."""

    trained = ("student", "projector")

    def __init__(self, config: MocoConfig, backbone: Backbone, *, views: int = 2) -> None:
        """Build heads, teacher and queue.

        Raises:
            ConfigError: The queue is still `auto`, or the plan has not two views.
        """
        super().__init__()
        if config.queue == "auto":
            raise ConfigError("method: 'auto' options need the number of images; resolve them before building MoCo")
        if views != 2:
            raise ConfigError(f"MoCo compares two views, the plan has {views}")
        self.config, self.student = config, backbone
        self.projector = self._make_projector()
        self.teacher = MomentumTeacher(backbone.twin(), self._make_projector(), backbone, self.projector)
        if config.norm_groups > 1:
            self.synchronised_norms = False
            group_batch_norm(self.student, config.norm_groups)
            group_batch_norm(self.teacher, config.norm_groups)
        self.queue = KeyQueue(config.queue, config.dim)
        self._keys: Tensor | None = None

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute InfoNCE of the queries against their keys and the queue; see `Method.forward`."""
        query, key = views
        self._keys = self._make_keys(key.pixels, progress.step)
        keys = self._keys[own_rows(len(key.pixels), self._keys.device)]
        features = features_of(self.student, [query.pixels], len(query.pixels))
        queries = self.projector(features[0].pooled)
        loss = info_nce_loss(queries, keys, queue=self.queue.keys, temperature=self.config.temperature)
        logs = {"embedding_spread": embedding_spread(features[0].pooled, queries)}
        if self.queue.filled:  # random directions are told from images by any network
            logs["loss_by_chance"] = torch.tensor(math.log(1 + len(self.queue.keys)))
        return StepOutput(loss=loss, logs=logs, student_features=features)

    def after_step(self, progress: Progress) -> None:
        """Put the step's keys into the queue and let the teacher follow."""
        del progress
        assert self._keys is not None  # noqa: S101 (forward came before)
        self.queue.put(self._keys)
        self._keys = None
        self.teacher.update(self.student, self.projector, self.config.teacher_momentum)

    @torch.no_grad()
    def _make_keys(self, pixels: Tensor, step: int) -> Tensor:
        """Return the keys of the whole batch in its order; they are made in a random one where norms are grouped."""
        if self.config.norm_groups == 1:
            return gather_rows(self.teacher.head(self.teacher.backbone(pixels)))
        whole = gather_rows(pixels)
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(step)).to(whole.device)
        mine = order[own_rows(len(pixels), whole.device)]
        keys = gather_rows(self.teacher.head(self.teacher.backbone(whole[mine])))
        return keys[order.argsort()]

    def _make_projector(self) -> MlpHead:
        widths = (self.student.feature_dim, self.config.hidden, self.config.dim)
        return MlpHead(widths, batch_norm=False, last_bias=True)
