"""The one adapter between a method and Lightning."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Shaped
from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from vesalius.data.batches import step_seed
from vesalius.errors import TrainingError
from vesalius.methods.base import Method
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress
from vesalius.training.optimizers import build_optimizer, clip_each, set_schedules
from vesalius.training.recipe import Recipe
from vesalius.views.make_views import apply_views, draw_views
from vesalius.views.plans import ViewPlan

__all__ = ["PretrainingModule"]


class PretrainingModule(LightningModule):
    """Draws views on the device, asks the method for its loss, and keeps the schedules.

    Every random number of a step comes from (seed, step), so a resumed training draws what the uninterrupted one would
    have drawn, and several processes together draw the views that one alone would; only stochastic depth is each
    process's own, from (seed, step, rank).
    """

    def __init__(self, recipe: Recipe, method: Method, plan: ViewPlan, *, steps_per_epoch: int, total_steps: int):
        """Join the parts; `total_steps` is fixed here, whatever the budget was."""
        super().__init__()
        self.recipe, self.method, self.plan = recipe, method, plan
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        self.output: StepOutput | None = None
        self.rates: dict[str, float] = {}

    @property
    def progress(self) -> Progress:
        """The step about to be taken."""
        return Progress(
            step=self.trainer.global_step, total_steps=self.total_steps, steps_per_epoch=self.steps_per_epoch
        )

    def configure_optimizers(self) -> Optimizer:
        """Build the recipe's optimizer over what the method trains."""
        return build_optimizer(self.recipe.optimizer, self.method.trained_parameters())

    def training_step(self, batch: Shaped[Tensor, "batch channels height width"], batch_idx: int) -> Tensor:
        """Take one step; see `Method.forward`."""
        del batch_idx
        self._now = self.progress
        # Lightning would keep the last step's gradients and output through the forward pass, where memory peaks.
        self.zero_grad(set_to_none=True)
        self.output = None
        optimizer = self.optimizers()
        lr, decay = set_schedules(
            optimizer,  # type: ignore[arg-type]  # Lightning wraps it; the groups are the optimizer's own
            self.recipe.optimizer,
            self._now,
            batch_size=self.recipe.training.batch_size,
        )
        self.rates = {"lr": lr, "weight_decay": decay}
        # Never the seed of the views: stochastic depth would be drawn from the same numbers.
        torch.manual_seed(step_seed(self.recipe.training.seed, self._now.step, 1 + self.global_rank))
        self.output = self.method(self._views(batch), self._now)
        self._refuse_nonfinite(self.output.loss)
        return self.output.loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Let the method change gradients, then clip each tensor's."""
        self.method.before_optimizer_step(self._now)
        if self.recipe.optimizer.clip_each > 0:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            clip_each(parameters, self.recipe.optimizer.clip_each)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Let the optimizer step and then the teacher follow: a checkpoint written after the step must hold both."""
        super().optimizer_step(*args, **kwargs)
        self.method.after_step(self._now)

    def _views(self, batch: Shaped[Tensor, "batch channels height width"]) -> tuple[View, ...]:
        """Draw the views of the whole batch of all processes, which is cheap, and make those of this one's images."""
        processes = self.trainer.world_size
        generator = torch.Generator().manual_seed(step_seed(self.recipe.training.seed, self._now.step))
        size = (batch.shape[2], batch.shape[3])
        drawn = draw_views(self.plan, len(batch) * processes, size, generator)
        own = [parameters.some(slice(self.global_rank, None, processes)) for parameters in drawn]
        about = self.method.student.preprocessing
        with torch.autocast(self.device.type, enabled=False):
            return apply_views(batch, self.plan, own, out_channels=about.in_chans, mean=about.mean, std=about.std)

    def _refuse_nonfinite(self, loss: Tensor) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {self._now.step}: lower optimizer.lr or use fp32. "
                "The last checkpoint is whole"
            )
