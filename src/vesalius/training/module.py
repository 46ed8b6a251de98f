"""The one adapter between a method and Lightning."""

from __future__ import annotations

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
from vesalius.schedules import Progress
from vesalius.training.optimizers import build_optimizer, clip_each, set_schedules
from vesalius.training.recipe import Recipe
from vesalius.views.make_views import make_views
from vesalius.views.plans import ViewPlan

__all__ = ["PretrainingModule"]


class PretrainingModule(LightningModule):
    """Draws views on the device, asks the method for its loss, and keeps the schedules.

    Every random number of a step (views, stochastic depth) comes from a generator seeded by (seed, step, rank), so a
    resumed training draws what the uninterrupted one would have drawn.
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
        optimizer = self.optimizers()
        lr, decay = set_schedules(
            optimizer,  # type: ignore[arg-type]  # Lightning wraps it; the groups are the optimizer's own
            self.recipe.optimizer,
            self._now,
            batch_size=self.recipe.training.batch_size,
        )
        self.rates = {"lr": lr, "weight_decay": decay}
        seed = step_seed(self.recipe.training.seed, self._now.step, self.global_rank)
        torch.manual_seed(seed)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        preprocessing = self.method.student.preprocessing
        with torch.autocast(self.device.type, enabled=False):
            views = make_views(
                batch,
                self.plan,
                generator,
                out_channels=preprocessing.in_chans,
                mean=preprocessing.mean,
                std=preprocessing.std,
            )
        self.output = self.method(views, self._now)
        self._refuse_nonfinite(self.output.loss)
        return self.output.loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Let the method change gradients, then clip each tensor's."""
        self.method.before_optimizer_step(self._now)
        if self.recipe.optimizer.clip_each > 0:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            clip_each(parameters, self.recipe.optimizer.clip_each)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let the teacher follow."""
        del outputs, batch, batch_idx
        self.method.after_step(self._now)

    def _refuse_nonfinite(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss.detach())):
            raise TrainingError(
                f"the loss is {float(loss)} at step {self._now.step}: lower optimizer.lr or use precision fp32. "
                "The last checkpoint is whole"
            )
