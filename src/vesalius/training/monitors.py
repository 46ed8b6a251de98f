"""What is watched while training: figures into metrics.csv, the feature rank, online probes, alarms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.distributed import all_reduce_mean
from vesalius.training.collapse import CollapseWatch
from vesalius.training.module import PretrainingModule
from vesalius.training.run_folder import RunFolder

__all__ = ["MetricsWriter", "Probe", "ProbeRunner", "feature_rank"]

Probe = Callable[[Backbone], Mapping[str, float]]
"""Looks at the backbone that would be exported now and returns figures by name (feature rank, k-NN, ...)."""


class MetricsWriter(Callback):
    """Writes loss, schedules and the method's own figures every few steps; raises the collapse alarms."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        every_steps: int,
        total_steps: int,
        seconds_before: float,
        say: Callable[[str], None],
    ) -> None:
        """Write into `folder`; `seconds_before` is the time that an interrupted training has behind it."""
        self.folder, self.every_steps, self.say = folder, every_steps, say
        self.started = time.monotonic() - seconds_before
        self.watch = CollapseWatch(total_steps=total_steps)
        self.last_time, self.last_step = time.monotonic(), -1

    @property
    def seconds(self) -> float:
        """Time spent training, interruptions left out."""
        return time.monotonic() - self.started

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Write one set of figures when it is their turn: means over all processes, written by the first."""
        del args
        if not isinstance(pl_module, PretrainingModule) or pl_module.output is None:
            return
        step = trainer.global_step - 1
        last = trainer.global_step >= pl_module.total_steps
        if step % self.every_steps and not last:
            return
        values = self._values(pl_module, step)
        if trainer.is_global_zero:
            self.folder.append_metrics(step, step / pl_module.steps_per_epoch, self.seconds, values)
            self.alarm(step, values)

    def alarm(self, step: int, values: Mapping[str, float]) -> None:
        """Say and record what the collapse watch finds new."""
        for text in self.watch.observe(step, values):
            self.say(text)
            told = [alarm for alarm in self.folder.state().get("alarms", []) if alarm != text]
            self.folder.update_state(alarms=[*told, text])

    def state_dict(self) -> dict[str, Any]:
        """Keep in the checkpoint what the watch has seen."""
        return self.watch.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on watching."""
        self.watch.restore(state_dict)

    def _values(self, module: PretrainingModule, step: int) -> dict[str, float]:
        assert module.output is not None  # noqa: S101 (checked by the caller)
        values = {"loss": float(all_reduce_mean(module.output.loss.detach())), **module.rates}
        for name, value in module.output.logs.items():
            values[name] = float(all_reduce_mean(value.to(module.output.loss.device)))
        now = time.monotonic()
        if self.last_step >= 0 and step > self.last_step:
            images = (step - self.last_step) * module.recipe.training.batch_size
            values["images_per_second"] = images / max(1e-9, now - self.last_time)
        self.last_time, self.last_step = now, step
        return values


class ProbeRunner(Callback):
    """Runs the probes every few epochs and at the end, on the backbone that would be exported."""

    def __init__(self, folder: RunFolder, writer: MetricsWriter, probes: Sequence[Probe], *, every_steps: int) -> None:
        """Run `probes` in order; their figures go where the writer's go."""
        self.folder, self.writer, self.probes, self.every_steps = folder, writer, probes, every_steps

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Look when it is time; random states are kept as they were."""
        del args
        if not isinstance(pl_module, PretrainingModule) or not trainer.is_global_zero:
            return
        taken = trainer.global_step
        if taken % self.every_steps and taken < pl_module.total_steps and taken != 1:
            return
        values = run_probes(self.probes, pl_module.method.exported_backbone())
        self.folder.append_metrics(taken - 1, (taken - 1) / pl_module.steps_per_epoch, self.writer.seconds, values)
        self.writer.alarm(taken - 1, values)
        self.writer.last_time = time.monotonic()


@torch.no_grad()
def run_probes(probes: Sequence[Probe], backbone: Backbone) -> dict[str, float]:
    """Run every probe in evaluation mode and put the backbone back as it was."""
    was_training = backbone.training
    backbone.eval()
    try:
        return {name: float(value) for probe in probes for name, value in probe(backbone).items()}
    finally:
        backbone.train(was_training)


def feature_rank(features: Float[Tensor, "images dim"]) -> float:
    """Effective rank of the features: exp of the entropy of the normalised singular values.

    RankMe (Garrido et al. 2023, arXiv 2210.02885, equation 1), on centred features, so that a constant counts nothing.
    """
    values = torch.linalg.svdvals((features - features.mean(dim=0)).double())
    share = values / values.sum().clamp_min(1e-12)
    return float(torch.special.entr(share).sum().exp())
