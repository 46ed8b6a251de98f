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

__all__ = ["Cost", "Trial", "even_out", "measure_costs", "steps_within"]

WARM_STEPS, TIMED_STEPS = 3, 6
"""At least; of a recipe with several sizes each is warmed once, and timed equally often. The first step of a size makes
the kernels for its shapes, and timed it would promise half of the steps that fit."""

_TURNS_TOGETHER = 2
"""How many times as many steps are timed where several trainings are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is timed of a training.

    Attributes:
        step: The parts; a copy of them is trained and thrown away.
        batches: Where the images are.
        probes: What looks now and then; once here.
        device: Where the training will compute.
        bf16: Whether it will do so under autocast.
        validation: What looks at images held out.
    """

    step: TrainingStep
    batches: TrainingBatches
    probes: Sequence[Probe]
    device: torch.device
    bf16: bool
    validation: Validation | None = None


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


def measure_costs(trials: Sequence[Trial]) -> list[Cost]:
    """Time whole steps (reading, views, forward, backward, optimizer, teacher) on copies that are then thrown away.

    Several trainings take their steps in turn, and how slow the machine was in a turn is divided out of it: a machine
    that is slow for a minute would else take steps from the one that is timed in it, and two trainings timed one after
    the other differed by half of their ratio (docs/LOG.md).
    """
    running = [_TimedSteps(trial) for trial in trials]
    each = math.lcm(*(one.sizes for one in running))
    warm, timed = each * math.ceil(WARM_STEPS / each), each * math.ceil(TIMED_STEPS / each)
    turns = timed * (_TURNS_TOGETHER if len(running) > 1 else 1)
    for turn in range(warm + turns):
        # Each comes first, second, ... equally often: a step is faster or slower by what ran before it.
        first = turn % len(running)
        for one in (*running[first:], *running[:first]):
            one.take(counts=turn >= warm)
    even = even_out([one.seconds for one in running], [one.sizes for one in running])
    return [one.cost(seconds) for one, seconds in zip(running, even, strict=True)]


def even_out(seconds: Sequence[Sequence[float]], sizes: Sequence[int]) -> list[float]:
    """Return the typical seconds of each training's steps, as if all turns had been equally slow.

    How slow a turn was is the median, over the trainings, of its steps against their usual ones of the same size. Steps
    of one size are alike and their median is free of hiccups; of several each has its share in the mean.

    Args:
        seconds: By training, then by turn.
        sizes: How many sizes each training's views have; its turns go through them in order.
    """
    usual = [
        [statistics.median(own[size::many]) for size in range(many)] for own, many in zip(seconds, sizes, strict=True)
    ]
    slowness = [
        statistics.median(one / own[turn % len(own)] for one, own in zip(taken, usual, strict=True))
        for turn, taken in enumerate(zip(*seconds, strict=True))
    ]
    found = []
    for own, many in zip(seconds, sizes, strict=True):
        even = [one / slow for one, slow in zip(own, slowness, strict=True)]
        found.append(statistics.fmean(statistics.median(even[size::many]) for size in range(many)))
    return found


class _TimedSteps:
    """The copy of a training's parts that takes its steps when told."""

    def __init__(self, trial: Trial) -> None:
        method, guidance = copy.deepcopy((trial.step.method, trial.step.guidance))
        method.to(trial.device).train()
        if guidance is not None:
            guidance.to(trial.device)
        self.trial, self.method = trial, method
        self.step = replace(trial.step, method=method, guidance=guidance)
        recipe = self.step.recipe
        self.optimizer = build_optimizer(recipe.optimizer, self.step.trained_parameters())
        self.processes = processes_of(recipe.training, trial.device.type)
        self.rows = max(1, recipe.training.batch_size // self.processes)
        self.choose = torch.Generator().manual_seed(step_seed(recipe.training.seed, 0))
        self.sizes = max(1, len(recipe.views.sizes))
        self.taken = 0
        self.seconds: list[float] = []

    def take(self, *, counts: bool) -> None:
        """Take one step, and keep its seconds where they count."""
        device, start = self.trial.device, time.perf_counter()
        now = self._now()
        self.step.set_rates(self.optimizer, now)
        chosen = torch.randperm(len(self.trial.batches.pool), generator=self.choose)[: self.rows].numpy()
        batch = move_data_to_device(self.trial.batches.read(chosen), device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.trial.bf16):
            loss = self.step.forward(batch, now, processes=self.processes).loss
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.step.before_optimizer(self.optimizer, now)
        self.optimizer.step()
        self.step.after_optimizer(now)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.optimizer.zero_grad()  # several trainings wait for their turns in one memory
        self.taken += 1
        if counts:
            self.seconds.append(time.perf_counter() - start)

    def cost(self, step_seconds: float) -> Cost:
        """Let the probes and the validation look once; return what all of it costs."""
        trial, start = self.trial, time.perf_counter()
        run_probes(trial.probes, self.method.exported_backbone())
        probed = time.perf_counter()
        if trial.validation is not None:
            with torch.autocast(trial.device.type, dtype=torch.bfloat16, enabled=trial.bf16):
                trial.validation.measure(self.step, self._now(), device=trial.device, processes=self.processes)
        validated = time.perf_counter()
        return Cost(step_seconds=step_seconds, probe_seconds=probed - start, validation_seconds=validated - probed)

    def _now(self) -> Progress:
        return Progress(step=self.taken, total_steps=1000, steps_per_epoch=100)
