"""The one adapter between a method and Lightning."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from vesalius.records.knowledge import TrainingBatch
from vesalius.records.step_output import StepOutput
from vesalius.schedules import Progress
from vesalius.training.optimizers import build_optimizer
from vesalius.training.step import TrainingStep

__all__ = ["PretrainingModule"]


class PretrainingModule(LightningModule):
    """Lets Lightning drive `TrainingStep`, and keeps what its callbacks read."""

    def __init__(self, step: TrainingStep, *, steps_per_epoch: int, total_steps: int):
        """Take the parts; `total_steps` is fixed here, whatever the budget was."""
        super().__init__()
        self.step, self.recipe, self.method, self.guidance = step, step.recipe, step.method, step.guidance
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
        return build_optimizer(
            self.recipe.optimizer, self.step.trained_parameters(), constant_lr=self.method.constant_lr
        )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Take one step; see `TrainingStep.forward`."""
        del batch_idx
        # Lightning counts a step while the optimizer takes it: what comes after belongs to this one still.
        self._now = self.progress
        # Lightning would keep the last step's gradients and output through the forward pass, where memory peaks.
        self.zero_grad(set_to_none=True)
        self.output = None
        self.rates = self.step.set_rates(
            self.optimizers(),  # type: ignore[arg-type]  # Lightning wraps it; the groups are the optimizer's own
            self._now,
        )
        self.output = self.step.forward(batch, self._now, rank=self.global_rank, processes=self.trainer.world_size)
        return self.output.loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Change gradients and clip them; see `TrainingStep.before_optimizer`."""
        self.step.before_optimizer(optimizer, self._now)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Let the optimizer step and then the teacher follow: a checkpoint written after the step must hold both."""
        super().optimizer_step(*args, **kwargs)
        self.step.after_optimizer(self._now)
