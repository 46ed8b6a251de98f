"""One line that says where the training stands, and when it will be done."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vesalius.training.module import PretrainingModule

__all__ = ["TrainingProgress"]


class TrainingProgress(Callback):
    """A rich bar on a terminal, and a plain line every tenth elsewhere."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`."""
        self.console = console
        self.bar: Progress | None = None
        self.tenth = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if not isinstance(pl_module, PretrainingModule) or not trainer.is_global_zero or not self.console.is_terminal:
            return
        columns = (
            TextColumn("pretraining"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console)
        self.task = self.bar.add_task("", total=pl_module.total_steps, completed=trainer.global_step, loss=float("nan"))
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move it."""
        del args
        if not isinstance(pl_module, PretrainingModule) or pl_module.output is None or not trainer.is_global_zero:
            return
        step, total = trainer.global_step, pl_module.total_steps
        if self.bar is not None:
            if step % 5 == 0 or step == total:
                self.bar.update(self.task, completed=step, loss=float(pl_module.output.loss.detach()))
        elif 10 * step // total > self.tenth:
            self.tenth = 10 * step // total
            loss = float(pl_module.output.loss.detach())
            self.console.print(f"step {step} of {total} ({step / total:.0%}), loss {loss:.3f}", highlight=False)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        del trainer, pl_module, stage
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
