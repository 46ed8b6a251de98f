"""The loss on patients held out, and the end of a training that no longer lowers it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import Callback

from vesalius.data.batches import TrainingBatches
from vesalius.data.held_out import HeldOut
from vesalius.distributed import all_reduce_mean
from vesalius.errors import TrainingError
from vesalius.records.step_output import StepOutput
from vesalius.schedules import Progress
from vesalius.training.export import export
from vesalius.training.module import PretrainingModule
from vesalius.training.monitors import MetricsWriter
from vesalius.training.recipe import ValidationConfig
from vesalius.training.run_folder import RunFolder
from vesalius.training.step import TrainingStep

__all__ = ["Validation", "ValidationRunner"]

_PARTS = ("method_loss", "guidance_loss")


@dataclass(frozen=True, slots=True)
class Validation:
    """Computes the training's loss on held-out images: the same images and the same views at every step.

    It runs on a copy of method and guidance, which is then thrown away, so that no parameter, running statistic,
    centre, queue or prototype of the training can move. The copy is in evaluation mode: batch norm takes its running
    statistics, as the exported backbone will, and neither paths nor patches are dropped. Batches are of the training's
    size, since losses that contrast the images of a batch depend on it; schedules (temperatures, weights) are those of
    the step.

    Attributes:
        config: The recipe's section.
        held_out: The images.
        batch_size: Of the training, over all processes together.
    """

    config: ValidationConfig
    held_out: HeldOut
    batch_size: int

    def __post_init__(self) -> None:
        """Make sure that there is a batch.

        Raises:
            TrainingError: The images held out are fewer than one batch.
        """
        if len(self.held_out.pool) < self.batch_size:
            raise TrainingError(
                f"validation: {len(self.held_out.pool)} images in the val split are fewer than one "
                f"batch of {self.batch_size}; lower training.batch_size, prepare the images with a larger split, or "
                "leave out validation"
            )

    @property
    def batches(self) -> int:
        """How many whole batches are read; one at least."""
        return max(1, min(self.config.images, len(self.held_out.pool)) // self.batch_size)

    def every_steps(self, steps_per_epoch: int) -> int:
        """Steps between two looks."""
        return max(1, round(self.config.every_epochs * steps_per_epoch))

    @torch.no_grad()
    def measure(
        self, step: TrainingStep, now: Progress, *, device: torch.device, rank: int = 0, processes: int = 1
    ) -> dict[str, float]:
        """Return `validation_loss` and, where guidance adds to it, its parts: means over the batches.

        All processes call it together: each computes its share of every batch, as in the training, since losses
        exchange embeddings among the processes.

        Args:
            step: What trains; it stays as it is, and so do the random states.
            now: The step whose schedules hold.
            device: Where the training computes.
            rank: This process.
            processes: How many there are.
        """
        reader = TrainingBatches(
            self.held_out.pool,
            batch_size=self.batch_size,
            seed=0,
            total_steps=self.batches,
            rank=rank,
            world_size=processes,
            knowledge=self.held_out.knowledge,
            regions=self.held_out.regions,
        )
        sums: dict[str, float] = {}
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            method, guidance = copy.deepcopy((step.method, step.guidance))
            own = replace(step, method=method.eval(), guidance=None if guidance is None else guidance.eval())
            for number, batch in enumerate(reader):
                # A forward pass moves centres and prototypes: every batch shall meet them as the training has them.
                method.load_state_dict(step.method.state_dict())
                output = own.held_out(
                    move_data_to_device(batch, device), now, number=number, rank=rank, processes=processes
                )
                for name, value in _figures(output).items():
                    sums[name] = sums.get(name, 0.0) + float(all_reduce_mean(value)) / self.batches
        return sums


class ValidationRunner(Callback):
    """Writes the validation loss every few epochs; remembers the best look, and stops the training where asked to.

    The loss is that of one look, not smoothed: images and views are always the same. The look after the first step is
    written, but is no best, since it stands for the untrained network.
    """

    def __init__(
        self,
        folder: RunFolder,
        writer: MetricsWriter,
        validation: Validation,
        *,
        steps_per_epoch: int,
        say: Callable[[str], None],
    ) -> None:
        """Let the figures go where the writer's go."""
        self.folder, self.writer, self.validation, self.say = folder, writer, validation, say
        self.every_steps = validation.every_steps(steps_per_epoch)
        self.best: dict[str, float] | None = None
        self.waited, self.stopped = 0, False

    @property
    def holds_best(self) -> bool:
        """Whether the exported backbone is that of the best look, which nothing later may replace."""
        return self.validation.config.patience is not None and self.best is not None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take no further step where the checkpoint is that of a training that was stopped."""
        del pl_module
        if self.stopped:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Look when it is time."""
        del args
        if not isinstance(pl_module, PretrainingModule):
            return
        taken, total, per_epoch = trainer.global_step, pl_module.total_steps, pl_module.steps_per_epoch
        last = taken >= total
        if taken % self.every_steps and not last and taken != 1:
            return
        now = Progress(step=taken - 1, total_steps=total, steps_per_epoch=per_epoch)
        with trainer.precision_plugin.forward_context():
            values = self.validation.measure(
                pl_module.step,
                now,
                device=pl_module.device,
                rank=trainer.global_rank,
                processes=trainer.world_size,
            )
        # One process's figures for all: they must agree on the best and on the end.
        values = trainer.strategy.broadcast(values)
        if trainer.is_global_zero:
            self.folder.append_metrics(now.step, now.epoch, self.writer.seconds, values)
        if now.epoch >= self.validation.config.start_from_epoch and (taken > 1 or last):
            self._judge(pl_module, now, values["validation_loss"], first_process=trainer.is_global_zero)
            if self._out_of_patience and not last:
                self._stop(trainer, now)
        self.writer.last_time = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Keep in the checkpoint what the looks gave so far."""
        return {"best": self.best, "waited": self.waited, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best, self.waited = state_dict["best"], int(state_dict["waited"])
        self.stopped = bool(state_dict["stopped"])

    @property
    def _out_of_patience(self) -> bool:
        patience = self.validation.config.patience
        return patience is not None and self.waited >= patience

    def _judge(self, module: PretrainingModule, now: Progress, loss: float, *, first_process: bool) -> None:
        """Compare with the best look; a loss that is no number is no better one."""
        bar = math.inf if self.best is None else self.best["loss"] - self.validation.config.min_delta
        if not loss < bar:
            self.waited += 1
            return
        self.best, self.waited = {"step": now.step, "epoch": round(now.epoch, 4), "loss": loss}, 0
        if first_process:
            if self.holds_best:
                export(module, self.folder)
            self.folder.update_state(best_validation=self.best)

    def _stop(self, trainer: Trainer, now: Progress) -> None:
        self.stopped = trainer.should_stop = True
        best = "none" if self.best is None else f"{self.best['loss']:.4g} of epoch {self.best['epoch']:.4g}"
        self.say(
            f"stopped early at epoch {now.epoch:.4g}: {self.waited} looks without a better validation loss than {best}"
        )


def _figures(output: StepOutput) -> dict[str, torch.Tensor]:
    """Name the loss and the parts that it is the sum of."""
    parts = {name: output.logs[name] for name in _PARTS if name in output.logs}
    return {f"validation_{name}": value for name, value in ({"loss": output.loss} | parts).items()}
