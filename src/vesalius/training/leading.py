"""Which of the processes of a training leads: plans, writes the run folder and speaks."""

from __future__ import annotations

import time

import torch

from vesalius.distributed import is_first_process
from vesalius.errors import RunError
from vesalius.training.recipe import Recipe, TrainingConfig
from vesalius.training.run_folder import RunFolder

__all__ = ["PLAN_SECONDS", "leads", "processes_of", "several", "wait_for_plan"]

PLAN_SECONDS = 1800
"""How long the other processes wait for the first to time its trial steps."""


def processes_of(training: TrainingConfig, accelerator: str) -> int:
    """Return how many processes will share a batch: `auto` is every GPU there is, and one process on a CPU."""
    devices = training.devices if isinstance(training.devices, int) else 0
    if devices < 1:
        devices = max(1, torch.cuda.device_count()) if accelerator == "cuda" else 1
    return devices * training.nodes


def leads(recipe: Recipe) -> bool:
    """Say whether this process writes the run folder and speaks: the only one, or the first of several."""
    return not several(recipe) or is_first_process()


def several(recipe: Recipe) -> bool:
    """Say whether several processes may train together."""
    return recipe.training.devices != 1 or recipe.training.nodes > 1


def wait_for_plan(folder: RunFolder) -> int:
    """Wait until the first process has written the folder; return the steps it planned.

    Raises:
        RunError: It did not in `PLAN_SECONDS`.
    """
    until = time.monotonic() + PLAN_SECONDS
    while not folder.exists:
        if time.monotonic() > until:
            raise RunError(f"{folder.path}: the first process planned nothing in {PLAN_SECONDS} seconds")
        time.sleep(0.1)
    return int(folder.state()["steps"])
