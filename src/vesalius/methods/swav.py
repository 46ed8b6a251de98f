"""SwAV: the cluster code of one view predicted from another (Caron et al. 2020, arXiv 2006.09882)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.distributed import all_reduce_mean, gather_rows, rank, world_size
from vesalius.errors import ConfigError
from vesalius.heads.mlp_head import MlpHead
from vesalius.losses.sinkhorn import sinkhorn
from vesalius.losses.swapped_prediction_loss import swapped_prediction_loss
from vesalius.methods.base import Method
from vesalius.methods.key_queue import KeyQueue
from vesalius.methods.stacked_views import features_of, stack_by_size
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["Swav", "SwavConfig"]


class SwavConfig(StrictModel):
    """Options of SwAV; the defaults are the paper's (section 4 and appendix A).

    Attributes:
        hidden, dim: Of the projector.
        prototypes: K; `auto` by `methods.presets`.
        temperature: tau of the predictions.
        epsilon, rounds: Of the codes, see `sinkhorn`.
        queue: Embeddings kept of each view that gets codes, of all processes together; 0 for none.
        queue_start_epoch: When the queue begins to be filled; it is used once it is full.
        frozen_prototypes_epochs: Epochs at the start in which the prototypes do not move.
    """

    name: Literal["swav"] = "swav"
    hidden: int = Field(default=2048, ge=1)
    dim: int = Field(default=128, ge=2)
    prototypes: Annotated[int, Field(ge=2)] | Literal["auto"] = 3000
    temperature: float = Field(default=0.1, gt=0)
    epsilon: float = Field(default=0.05, gt=0)
    rounds: int = Field(default=3, ge=1)
    queue: int = Field(default=3840, ge=0)
    queue_start_epoch: float = Field(default=15.0, ge=0)
    frozen_prototypes_epochs: float = Field(default=1.0, ge=0)


class Swav(Method):
    """One network with projector and prototypes; the views of full size get codes, every view predicts them."""

    trained = ("student", "projector", "prototypes")

    def __init__(self, config: SwavConfig, backbone: Backbone, *, teacher_views: int = 2) -> None:
        """Put projector and prototypes on the student; the first `teacher_views` views get codes.

        Raises:
            ConfigError: The number of prototypes is still `auto`.
        """
        super().__init__()
        if config.prototypes == "auto":
            raise ConfigError("method: 'auto' options need the number of images; resolve them before building SwAV")
        self.config, self.student, self.shared_views = config, backbone, teacher_views
        self.projector = MlpHead((backbone.feature_dim, config.hidden, config.dim), last_bias=True)
        self.prototypes = nn.Linear(config.dim, config.prototypes, bias=False)
        self.queues = nn.ModuleList(
            KeyQueue(config.queue, config.dim) for _ in range(teacher_views if config.queue else 0)
        )
        self._new: list[Tensor] = []

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute the mean over the pairs; see `Method.forward`."""
        batch = len(views[0].pixels)
        with torch.no_grad():
            self.prototypes.weight.copy_(functional.normalize(self.prototypes.weight.float(), dim=1))
        features = features_of(self.student, stack_by_size(views), batch)
        projected = self.projector(torch.cat([one.pooled for one in features]))
        embedded = functional.normalize(projected.float(), dim=-1)
        scores = self._scores(embedded).view(len(views), batch, -1)
        embedded = embedded.detach().view(len(views), batch, -1)
        codes = torch.stack([self._codes(scores[view], view) for view in range(self.shared_views)])
        loss = swapped_prediction_loss(scores, codes, temperature=self.config.temperature)
        if self.queues and progress.epoch >= self.config.queue_start_epoch:
            self._new = [gather_rows(one) for one in embedded[: self.shared_views]]
        used = all_reduce_mean(scores[0].detach().float().div(self.config.temperature).softmax(dim=-1).mean(dim=0))
        logs = {
            "code_entropy": torch.special.entr(codes).sum(dim=-1).mean(),
            "prototype_entropy": torch.special.entr(used).sum(),
            "prototype_entropy_max": torch.tensor(math.log(self.prototypes.out_features)),
        }
        return StepOutput(loss=loss, logs=logs, student_features=features)

    def before_optimizer_step(self, progress: Progress) -> None:
        """Hold the prototypes still in the first epochs; without a gradient the optimizer leaves them alone."""
        if progress.epoch < self.config.frozen_prototypes_epochs:
            self.prototypes.weight.grad = None

    def after_step(self, progress: Progress) -> None:
        """Put the step's embeddings into the queues."""
        del progress
        for queue, embedded in zip(self.queues, self._new, strict=False):
            assert isinstance(queue, KeyQueue)  # noqa: S101 (for the type checker)
            queue.put(embedded)
        self._new = []

    def _scores(self, embedded: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows prototypes"]:
        """Multiply with the prototypes, in float32: codes see a score twenty times enlarged."""
        with torch.autocast(embedded.device.type, enabled=False):
            scores: Tensor = self.prototypes(embedded.float())
        return scores

    @torch.no_grad()
    def _codes(self, scores: Float[Tensor, "batch prototypes"], view: int) -> Float[Tensor, "batch prototypes"]:
        """Compute the codes of one view, with its full queue beside it; each process brings a share of the queue."""
        together = scores.detach()
        if self.queues:
            queue = self.queues[view]
            assert isinstance(queue, KeyQueue)  # noqa: S101 (for the type checker)
            if queue.filled:
                together = torch.cat([together, self._scores(queue.keys[rank() :: world_size()])])
        return sinkhorn(together, epsilon=self.config.epsilon, rounds=self.config.rounds)[: len(scores)]
