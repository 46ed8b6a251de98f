"""One recipe's training step, ready to be taken again and again, as a training takes it; its peak memory."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

_UNCOUNTED = 4


class RecipeSide:
    """Reading a batch (with its maps where the recipe is guided), views, method, guidance, backward and optimizer."""

    def __init__(self, recipe: str, overrides: Sequence[str], store: Path) -> None:
        from vesalius.backbones.create_backbone import create_backbone
        from vesalius.data.batches import TrainingBatches
        from vesalius.data.knowledge_pool import open_knowledge
        from vesalius.data.open_pool import open_pool
        from vesalius.guidance.registry import build_guidance
        from vesalius.methods.registry import build_method
        from vesalius.training.optimizers import build_optimizer
        from vesalius.training.precision import choose_precision, suit_accelerator
        from vesalius.training.recipe import load_recipe
        from vesalius.training.resolve_recipe import resolve_recipe
        from vesalius.training.step import TrainingStep
        from vesalius.views.plans import plan_by_name

        pool, _ = open_pool(f"{store}@all")
        chosen, _ = resolve_recipe(load_recipe(recipe, overrides=overrides), len(pool))
        plan = plan_by_name(chosen.views.plan, **chosen.views.options)
        torch.manual_seed(0)
        method = build_method(chosen.method, create_backbone(chosen.backbone), plan)
        knowledge, guiding = None, None
        if chosen.guidance is not None:
            places = chosen.guidance.needs_coordinates
            knowledge = open_knowledge(pool, chosen.guidance.maps, coordinates=places)
            guiding = build_guidance(chosen.guidance, knowledge.names, method.student)
        suit_accelerator(method, accelerator="cpu")
        gather = None if knowledge is None else knowledge.gather
        size = chosen.training.batch_size
        self.batches = TrainingBatches(pool, batch_size=size, seed=0, total_steps=1000, knowledge=gather)
        self.step = TrainingStep(chosen, method, plan, guiding)
        self.optimizer = build_optimizer(chosen.optimizer, self.step.trained_parameters())
        self.bf16 = choose_precision("auto", accelerator="cpu")[0].startswith("bf16")
        self.taken = 0

    def take(self) -> float:
        """Take one step; return its seconds."""
        from vesalius.schedules import Progress

        start = time.perf_counter()
        now = Progress(step=self.taken, total_steps=1000, steps_per_epoch=100)
        self.step.set_rates(self.optimizer, now)
        batch = self.batches.read(self.batches.indices(self.taken))
        self.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.step.forward(batch, now).loss
        loss.backward()
        self.step.before_optimizer(self.optimizer, now)
        self.optimizer.step()
        self.step.after_optimizer(now)
        self.taken += 1
        return time.perf_counter() - start


def take_in_turn(sides: Mapping[str, RecipeSide], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every side's steps, a step of each in turn, after some that are not counted.

    Each side comes first, second, ... equally often: a step is faster or slower by what ran before it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(_UNCOUNTED + rounds):
        start = number % len(names)
        for name in (*names[start:], *names[:start]):
            taken = sides[name].take()
            if number >= _UNCOUNTED:
                seconds[name].append(taken)
    return seconds


def peak_mib(recipe: str, overrides: Sequence[str], store: Path, steps: int = 4) -> float:
    """Take some steps in a fresh process; return its high-water mark."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_here, recipe, tuple(overrides), store, steps).result()


def _peak_here(recipe: str, overrides: tuple[str, ...], store: Path, steps: int) -> float:
    from vesalius.training.allocator import memory_kept

    with memory_kept():
        side = RecipeSide(recipe, overrides, store)
        for _ in range(steps):
            side.take()
    # getrusage would tell the mark of the process that started this one, where that is higher.
    [mark] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(mark) / 1024
