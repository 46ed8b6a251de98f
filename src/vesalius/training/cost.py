"""What a training will cost, known from a few timed steps before it starts."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from lightning.fabric.utilities import move_data_to_device

from vesalius.data.batches import TrainingBatches, step_seed
from vesalius.schedules import Progress
from vesalius.training.monitors import Probe, run_probes
from vesalius.training.optimizers import build_optimizer
from vesalius.training.step import TrainingStep

__all__ = ["Cost", "measure_cost", "steps_within"]

WARM_STEPS, TIMED_STEPS = 3, 6
"""At least; of a recipe with several sizes each is warmed once, and timed equally often. The first step of a size makes
the kernels for its shapes, and timed it would promise half of the steps that fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of one training step and of one look by the probes."""

    step_seconds: float
    probe_seconds: float

    def total_minutes(self, steps: int, probe_every: int) -> float:
        """Return the minutes that `steps` will take, looks included."""
        return (steps * self.step_seconds + (2 + steps / probe_every) * self.probe_seconds) / 60.0


def steps_within(budget_minutes: float, cost: Cost, probe_every: int) -> int:
    """How many steps fit into a budget, looks and a margin of 12 % included; at least one.

    The margin is for checkpoints, and for machines whose speed wanders: two trainings of twenty minutes on a shared
    server took 12 % longer than their first steps had promised (docs/LOG.md).
    """
    seconds = 0.88 * budget_minutes * 60.0 - 2 * cost.probe_seconds
    return max(1, math.floor(seconds / (cost.step_seconds + cost.probe_seconds / probe_every)))


def measure_cost(
    step: TrainingStep,
    batches: TrainingBatches,
    probes: Sequence[Probe],
    *,
    device: torch.device,
    bf16: bool,
) -> Cost:
    """Time whole steps (reading, views, forward, backward, optimizer, teacher) on a copy that is then thrown away."""
    method, guidance = copy.deepcopy((step.method, step.guidance))
    method.to(device).train()
    if guidance is not None:
        guidance.to(device)
    step, recipe = replace(step, method=method, guidance=guidance), step.recipe
    optimizer = build_optimizer(recipe.optimizer, step.trained_parameters())
    devices = max(1, recipe.training.devices if isinstance(recipe.training.devices, int) else 1)
    processes = devices * recipe.training.nodes
    rows = max(1, recipe.training.batch_size // processes)
    choose = torch.Generator().manual_seed(step_seed(recipe.training.seed, 0))
    seconds: list[float] = []
    sizes = len(recipe.views.sizes)
    warm, timed = max(WARM_STEPS, sizes), max(1, sizes) * math.ceil(TIMED_STEPS / max(1, sizes))
    for number in range(warm + timed):
        start = time.perf_counter()
        now = Progress(step=number, total_steps=1000, steps_per_epoch=100)
        step.set_rates(optimizer, now)
        chosen = torch.randperm(len(batches.pool), generator=choose)[:rows].numpy()
        batch = move_data_to_device(batches.read(chosen), device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = step.forward(batch, now, processes=processes).loss
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        step.before_optimizer(optimizer, now)
        optimizer.step()
        step.after_optimizer(now)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    run_probes(probes, method.exported_backbone())
    # Steps of one size are alike and their median is free of hiccups; of several sizes each has its share in the mean.
    typical = statistics.fmean if recipe.views.sizes else statistics.median
    return Cost(step_seconds=typical(seconds[warm:]), probe_seconds=time.perf_counter() - start)
