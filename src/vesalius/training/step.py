"""One training step, whoever drives it: Lightning through a whole training, or the clock before one begins."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.optim import Optimizer

from vesalius.data.batches import step_seed
from vesalius.errors import TrainingError
from vesalius.guidance.base import Guidance
from vesalius.methods.base import Method
from vesalius.records.knowledge import TrainingBatch
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress
from vesalius.training.optimizers import clip_each, set_schedules
from vesalius.training.recipe import Recipe
from vesalius.views.make_views import apply_views, draw_views
from vesalius.views.plans import ViewPlan

__all__ = ["TrainingStep"]

_ADVICE = (
    "begin a new run with a lower optimizer.lr or in fp32; --resume would meet the same step. Where a checkpoint was "
    "written before it, its weights can be taken over by backbone.weights=RUN/backbone"
)
_HELD_OUT = 2**31 + 1
"""Of the seeds of views that are not trained on; takes the place of a rank, and none is as large."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """What happens around forward, backward and the optimizer's own step, in the order of its methods.

    Every random number of a step comes from (seed, step), so a resumed training draws what the uninterrupted one would
    have drawn, and several processes together draw the views that one alone would; only stochastic depth is each
    process's own, from (seed, step, rank).
    """

    recipe: Recipe
    method: Method
    plan: ViewPlan
    guidance: Guidance | None = None

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield what the optimizer trains, by name."""
        yield from self.method.trained_parameters()
        if self.guidance is not None:
            yield from self.guidance.trained_parameters()

    def set_rates(self, optimizer: Optimizer, now: Progress) -> dict[str, float]:
        """Set this step's learning rate and weight decay; return both by name."""
        training = self.recipe.training
        own_length = training.steps is None and training.budget_minutes is None
        lr, decay = set_schedules(
            optimizer, self.recipe.optimizer, now, batch_size=training.batch_size, own_length=own_length
        )
        return {"lr": lr, "weight_decay": decay}

    def forward(
        self,
        batch: TrainingBatch,
        now: Progress,
        *,
        rank: int = 0,
        processes: int = 1,
    ) -> StepOutput:
        """Draw the views on the images' device, ask the method for its loss and add the guidance's.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        # Never the seed of the views: stochastic depth would be drawn from the same numbers.
        torch.manual_seed(step_seed(self.recipe.training.seed, now.step, 1 + rank))
        output = self._output(batch, self._views(batch.images, now, rank, processes), now)
        value = float(output.loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss is {value} at step {now.step}: {_ADVICE}")
        return output

    def held_out(
        self, batch: TrainingBatch, now: Progress, *, number: int, rank: int = 0, processes: int = 1
    ) -> StepOutput:
        """Compute the loss of a batch that is not trained on, with the same views of the plan's own size at every step.

        Args:
            batch: This process's share.
            now: The step whose schedules hold.
            number: Of the batch; its views are drawn by it alone, whatever the training's seed.
            rank: This process.
            processes: How many there are.
        """
        torch.manual_seed(step_seed(0, number, _HELD_OUT + 1 + rank))
        views = self._make(batch.images, self.plan, step_seed(0, number, _HELD_OUT), rank, processes)
        return self._output(batch, views, now)

    def before_optimizer(self, optimizer: Optimizer, now: Progress) -> None:
        """Let the method change gradients, then clip each tensor's.

        Raises:
            TrainingError: They are not finite numbers; the weights are still those of the step before.
        """
        self.method.before_optimizer_step(now)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        largest = clip_each(parameters, self.recipe.optimizer.clip_each or math.inf)
        if not math.isfinite(float(largest)):
            raise TrainingError(f"the largest gradient is {float(largest)} at step {now.step}: {_ADVICE}")

    def after_optimizer(self, now: Progress) -> None:
        """Let the teacher follow, and the guidance what is exported."""
        self.method.after_step(now)
        if self.guidance is not None:
            self.guidance.after_step(self.method.export_momentum(now))

    def _output(self, batch: TrainingBatch, views: tuple[View, ...], now: Progress) -> StepOutput:
        """Ask the method for its loss and add the guidance's."""
        if batch.regions is not None:
            views = (*views[:-1], replace(views[-1], regions=batch.regions))
        output: StepOutput = self.method(views, now)
        if self.guidance is None or batch.knowledge is None:
            return output
        added = self.guidance(output.student_features, views[: len(output.student_features)], batch.knowledge, now)
        logs = {
            **output.logs,
            "method_loss": output.loss.detach(),
            "guidance_loss": added.loss.detach(),
            **added.logs,
        }
        return replace(output, loss=output.loss + added.loss, logs=logs)

    def _plan(self, now: Progress) -> ViewPlan:
        """Return the step's plan: of several sizes each comes once in as many steps, in an order drawn anew."""
        sizes = self.recipe.views.sizes
        if not sizes:
            return self.plan
        cycle, place = divmod(now.step, len(sizes))
        generator = torch.Generator().manual_seed(step_seed(self.recipe.training.seed, cycle, 2**31))
        return self.plan.at_size(sizes[int(torch.randperm(len(sizes), generator=generator)[place])])

    def _views(
        self, images: Shaped[Tensor, "batch channels height width"], now: Progress, rank: int, processes: int
    ) -> tuple[View, ...]:
        return self._make(images, self._plan(now), step_seed(self.recipe.training.seed, now.step), rank, processes)

    def _make(
        self,
        images: Shaped[Tensor, "batch channels height width"],
        plan: ViewPlan,
        seed: int,
        rank: int,
        processes: int,
    ) -> tuple[View, ...]:
        """Draw the views of the whole batch of all processes, which is cheap, and make those of this one's images."""
        generator = torch.Generator().manual_seed(seed)
        size = images.shape[2], images.shape[3]
        drawn = draw_views(plan, len(images) * processes, size, generator)
        own = [parameters.some(slice(rank, None, processes)) for parameters in drawn]
        about = self.method.student.preprocessing
        with torch.autocast(images.device.type, enabled=False):
            return apply_views(images, plan, own, out_channels=about.in_chans, mean=about.mean, std=about.std)
