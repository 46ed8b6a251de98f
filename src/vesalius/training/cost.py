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
from vesalius.training.leading import processes_of
from vesalius.training.monitors import Probe, run_probes
from vesalius.training.optimizers import build_optimizer
from vesalius.training.step import TrainingStep
from vesalius.training.validation import Validation

__all__ = ["Cost", "measure_cost", "steps_within"]

WARM_STEPS, TIMED_STEPS = 3, 6
"""At least; of a recipe with several sizes each is warmed once, and timed equally often. The first step of a size makes
the kernels for its shapes, and timed it would promise half of the steps that fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of one training step, of one look by the probes and of one validation."""

    step_seconds: float
    probe_seconds: float
    validation_seconds: float = 0.0

    def total_minutes(self, steps: int, probe_every: int, validate_every: int = 1) -> float:
        """Return the minutes that `steps` will take, looks included."""
        return (steps * self.seconds_a_step(probe_every, validate_every) + self.seconds_at_ends) / 60.0

    @property
    def seconds_at_ends(self) -> float:
        """Seconds of the looks at the first and the last step."""
        return 2 * (self.probe_seconds + self.validation_seconds)

    def seconds_a_step(self, probe_every: int, validate_every: int) -> float:
        """Seconds of a step with its share of the looks."""
        return self.step_seconds + self.probe_seconds / probe_every + self.validation_seconds / validate_every


def steps_within(budget_minutes: float, cost: Cost, probe_every: int, validate_every: int = 1) -> int:
    """How many steps fit into a budget, looks and a margin of 12 % included; at least one.

    The margin is for checkpoints, and for machines whose speed wanders: two trainings of twenty minutes on a shared
    server took 12 % longer than their first steps had promised (docs/LOG.md).
    """
    seconds = 0.88 * budget_minutes * 60.0 - cost.seconds_at_ends
    return max(1, math.floor(seconds / cost.seconds_a_step(probe_every, validate_every)))


def measure_cost(
    step: TrainingStep,
    batches: TrainingBatches,
    probes: Sequence[Probe],
    *,
    device: torch.device,
    bf16: bool,
    validation: Validation | None = None,
) -> Cost:
    """Time whole steps (reading, views, forward, backward, optimizer, teacher) on a copy that is then thrown away.

    Args:
        step: The parts.
        batches: Where the images are.
        probes: They look once.
        device: Where the training will compute.
        bf16: Whether it will do so under autocast.
        validation: What will look beside the probes.
    """
    method, guidance = copy.deepcopy((step.method, step.guidance))
    method.to(device).train()
    if guidance is not None:
        guidance.to(device)
    step, recipe = replace(step, method=method, guidance=guidance), step.recipe
    optimizer = build_optimizer(recipe.optimizer, step.trained_parameters())
    processes = processes_of(recipe.training, device.type)
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
    probed = time.perf_counter()
    if validation is not None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            validation.measure(step, now, device=device, processes=processes)
    validated = time.perf_counter()
    # Steps of one size are alike and their median is free of hiccups; of several sizes each has its share in the mean.
    typical = statistics.fmean if recipe.views.sizes else statistics.median
    return Cost(
        step_seconds=typical(seconds[warm:]), probe_seconds=probed - start, validation_seconds=validated - probed
    )
