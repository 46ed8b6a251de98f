"""DINO: self-distillation with no labels (Caron et al. 2021, arXiv 2104.14294)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.distributed import gather_rows
from vesalius.errors import ConfigError
from vesalius.heads.dino_head import DinoHead
from vesalius.losses.dino_loss import DinoLoss
from vesalius.losses.koleo_loss import koleo_loss
from vesalius.losses.nt_xent_loss import nt_xent_loss
from vesalius.methods.base import Method
from vesalius.methods.entropy_control import EntropyControl
from vesalius.methods.momentum_teacher import MomentumTeacher
from vesalius.methods.stacked_views import features_of, stack, stack_by_size
from vesalius.records.features import Features
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress, cosine, linear

__all__ = ["Dino", "DinoConfig"]


class DinoConfig(StrictModel):
    """Options of DINO; the defaults are the paper's, `auto` follows the number of images.

    Attributes:
        prototypes: K, the head's outputs (65,536 in the paper); `auto` by `methods.presets`.
        hidden, bottleneck, layers, batch_norm, frozen_gain: The head, see `DinoHead`.
        student_temperature: T_s.
        teacher_temperature: T_t after its warm-up; `auto` by the presets.
        teacher_temperature_start: T_t at the start; equal to the above for the paper's constant default.
        teacher_temperature_warmup_epochs: Epochs of the linear rise between the two.
        teacher_entropy: Share of ln K at which the teacher's entropy is held by moving T_t (`EntropyControl`); None for
            the paper's fixed temperatures.
        koleo: Weight of `koleo_loss` on the student's features of the global views; 0 in the paper.
        contrast: Weight of `nt_xent_loss` between the student's embeddings of the global views; 0 in the paper. Where
            an untrained network cannot match two views, its teacher has little to teach: contrast starts it.
        contrast_temperature: Of that loss.
        centre_momentum: m of the centre.
        teacher_momentum: EMA at the start, cosine to 1; `auto` by the presets.
        frozen_prototypes_epochs: Epochs at the start in which the prototypes do not move.
    """

    name: Literal["dino"] = "dino"
    prototypes: Annotated[int, Field(ge=2)] | Literal["auto"] = 65536
    hidden: int = Field(default=2048, ge=1)
    bottleneck: int = Field(default=256, ge=1)
    layers: int = Field(default=3, ge=1)
    batch_norm: bool = False
    frozen_gain: bool = True
    student_temperature: float = Field(default=0.1, gt=0)
    teacher_temperature: Annotated[float, Field(gt=0)] | Literal["auto"] = 0.04
    teacher_temperature_start: float | None = Field(default=None, gt=0)
    teacher_temperature_warmup_epochs: float = Field(default=30.0, ge=0)
    teacher_entropy: float | None = Field(default=None, gt=0, lt=1)
    koleo: float = Field(default=0.0, ge=0)
    contrast: float = Field(default=0.0, ge=0)
    contrast_temperature: float = Field(default=0.1, gt=0)
    centre_momentum: float = Field(default=0.9, ge=0, le=1)
    teacher_momentum: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.996
    frozen_prototypes_epochs: float = Field(default=1.0, ge=0)


class Dino(Method):
    """Student and momentum teacher; the student learns the teacher's assignment of another view of the image."""

    trained = ("student", "head")

    def __init__(self, config: DinoConfig, backbone: Backbone, *, teacher_views: int = 2) -> None:
        """Build heads and teacher around a student whose first `teacher_views` views the teacher sees.

        Raises:
            ConfigError: An option is still `auto`; resolve it with `methods.presets` first.
        """
        super().__init__()
        if "auto" in (config.prototypes, config.teacher_temperature, config.teacher_momentum):
            raise ConfigError("method: 'auto' options need the number of images; resolve them before building DINO")
        self.config, self.shared_views = config, teacher_views
        self.prototypes = int(config.prototypes)
        self.student = backbone
        self.head = self._make_head()
        self.teacher = MomentumTeacher(backbone.twin(), self._make_head(), backbone, self.head)
        self.loss = DinoLoss(
            self.prototypes,
            student_temperature=config.student_temperature,
            centre_momentum=config.centre_momentum,
        )
        self.control = (
            EntropyControl(self.prototypes, share=config.teacher_entropy, start=float(config.teacher_temperature))
            if config.teacher_entropy is not None
            else None
        )

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute the loss; see `Method.forward`."""
        shared = self.shared_views
        batch = views[0].pixels.shape[0]
        stacks = stack_by_size(views)
        with torch.no_grad():
            # Without local views of another size, the teacher's input is the student's: one copy serves both.
            seen = stacks[0][: shared * batch] if len(stacks[0]) >= shared * batch else stack(views[:shared])
            teacher_logits = self.teacher.head(self.teacher.backbone(seen)).unflatten(0, (shared, batch))
        features = features_of(self.student, stacks, batch)
        embedded = self.head.embed(torch.cat([f.pooled for f in features]))
        logits: Tensor = self.head.prototypes(embedded).unflatten(0, (len(views), batch))
        temperature = torch.tensor(self.teacher_temperature(progress), device=logits.device)
        if self.control is not None:
            temperature = self.control.adjust(teacher_logits.float() - self.loss.centre)
        loss = self.loss(logits, teacher_logits, teacher_temperature=temperature)
        logs = {
            "teacher_entropy": self.loss.teacher_entropy,
            "mean_entropy": self.loss.mean_entropy,
            "teacher_entropy_max": torch.tensor(math.log(self.prototypes)),
            "teacher_temperature": temperature,
            "teacher_momentum": torch.tensor(self.teacher_momentum(progress)),
        }
        further = self._further_losses(features[:shared], embedded[: shared * batch].view(shared, batch, -1))
        if further:
            logs |= {"dino_loss": loss.detach(), **{name: value.detach() for name, (_, value) in further.items()}}
            loss = torch.stack([loss, *(weight * value for weight, value in further.values())]).sum()
        return StepOutput(loss=loss, logs=logs, student_features=features)

    def before_optimizer_step(self, progress: Progress) -> None:
        """Hold the prototypes still in the first epochs; without a gradient the optimizer leaves them alone."""
        if progress.epoch < self.config.frozen_prototypes_epochs:
            for parameter in self.head.prototypes.parameters():
                parameter.grad = None

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        self.teacher.update(self.student, self.head, self.teacher_momentum(progress))

    def export_momentum(self, progress: Progress) -> float:
        """Return the teacher's momentum, since the teacher is exported."""
        return self.teacher_momentum(progress)

    def exported_backbone(self) -> Backbone:
        """Return the teacher's backbone, the better of the two (section 5.2)."""
        return self.teacher.backbone

    def teacher_temperature(self, progress: Progress) -> float:
        """T_t: rises an equal amount each epoch, reaches its end in the last epoch of the warm-up, then stays."""
        end = float(self.config.teacher_temperature)
        start = end if self.config.teacher_temperature_start is None else self.config.teacher_temperature_start
        warmup = self.config.teacher_temperature_warmup_epochs
        return end if warmup <= 1 else linear(start, end, int(progress.epoch) / (warmup - 1))

    def teacher_momentum(self, progress: Progress) -> float:
        """EMA momentum: cosine from its start to 1 over the training, per step."""
        return cosine(float(self.config.teacher_momentum), 1.0, progress.fraction)

    def _further_losses(
        self, features: Sequence[Features], embedded: Float[Tensor, "views batch bottleneck"]
    ) -> dict[str, tuple[float, Tensor]]:
        """Compute what is added to the paper's loss on the global views: weight and value by name."""
        further: dict[str, tuple[float, Tensor]] = {}
        if self.config.koleo > 0:
            values = [koleo_loss(gather_rows(one.pooled)) for one in features]
            further["koleo_loss"] = self.config.koleo, torch.stack(values).sum()
        if self.config.contrast > 0:
            pairs = itertools.combinations([gather_rows(one) for one in embedded], 2)
            values = [nt_xent_loss(one, two, temperature=self.config.contrast_temperature) for one, two in pairs]
            further["contrast_loss"] = self.config.contrast, torch.stack(values).mean()
        return further

    def _make_head(self) -> DinoHead:
        c = self.config
        return DinoHead(
            self.student.feature_dim,
            self.prototypes,
            hidden=c.hidden,
            bottleneck=c.bottleneck,
            layers=c.layers,
            batch_norm=c.batch_norm,
            frozen_gain=c.frozen_gain,
        )
