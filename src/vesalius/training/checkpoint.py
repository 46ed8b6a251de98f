"""Checkpoints that are whole or absent, written in the background of a training and read to resume it."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from vesalius.errors import CheckpointError
from vesalius.training.export import export
from vesalius.training.module import PretrainingModule
from vesalius.training.run_folder import RunFolder

__all__ = ["CheckpointWriter", "read_step"]


class CheckpointWriter(Callback):
    """Saves Lightning's checkpoint and the exported backbone every few minutes, when interrupted, and at the end."""

    def __init__(
        self, folder: RunFolder, *, every_minutes: float, with_backbone: Callable[[], bool] = lambda: True
    ) -> None:
        """Write into `folder`, the backbone as long as `with_backbone` says so: a better one may lie there."""
        self.folder, self.every_seconds, self.with_backbone = folder, every_minutes * 60.0, with_backbone
        self.last = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Save when it is time; every process takes part, as sharded states need."""
        del args
        due = time.monotonic() - self.last >= self.every_seconds
        if trainer.world_size > 1:
            due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if due and isinstance(pl_module, PretrainingModule) and trainer.global_step < pl_module.total_steps:
            self.save(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end."""
        if isinstance(pl_module, PretrainingModule):
            self.save(trainer, pl_module)

    def save(self, trainer: Trainer, module: PretrainingModule) -> None:
        """Write beside the old checkpoint, then replace it.

        The exported backbone goes first: a kill in between then leaves a checkpoint that is a step behind and makes it
        anew, never a finished training with an older backbone.
        """
        partial = self.folder.checkpoint.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            if self.with_backbone():
                export(module, self.folder)
            os.replace(partial, self.folder.checkpoint)
        trainer.strategy.barrier()
        self.last = time.monotonic()


def read_step(folder: RunFolder) -> int:
    """Return the step that the run's checkpoint stands at.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    path = folder.checkpoint
    if not path.is_file():
        raise CheckpointError(f"{path}: no checkpoint; the run was stopped before the first, start it in a new folder")
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint of this program ({error})") from error
