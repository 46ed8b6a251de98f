"""The two sides of `method_throughput.py`: one training loop of each package for every method that both have."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from method_peers import MOMENTUM, PEERS, PROTOTYPES, QUEUE, TEMPERATURE, MethodCase, peer_transform
from step_sides import Gate, wait_for_workers

__all__ = ["IMAGES_FILE", "run_lightly", "run_ours"]

IMAGES_FILE = "images.npy"
STEPS, EPOCH = 1000, 100
_OURS = {
    "dino": f"{{name: dino, prototypes: {PROTOTYPES['dino']}, teacher_temperature: 0.04, frozen_prototypes_epochs: 0}}",
    "moco": f"{{name: moco, queue: {QUEUE}, temperature: {TEMPERATURE['moco']}}}",
    "simclr": f"{{name: simclr, temperature: {TEMPERATURE['simclr']}}}",
    "swav": f"{{name: swav, prototypes: {PROTOTYPES['swav']}, queue: 0, frozen_prototypes_epochs: 0}}",
}
"""The `method` section where it differs from the shipped recipe's; all widths are the recipes' own."""


def run_ours(pipe: Connection, case: MethodCase, folder: Path, threads: int, *, precision: str = "auto") -> None:
    """Take steps as a training takes them, by `TrainingStep`, with images that lie in memory."""
    import torch

    from vesalius.records.knowledge import TrainingBatch
    from vesalius.schedules import Progress
    from vesalius.training import step as step_module
    from vesalius.training.allocator import memory_kept
    from vesalius.training.precision import choose_precision
    from vesalius.views.make_views import apply_views, draw_views

    torch.set_num_threads(threads)
    images = np.load(folder / IMAGES_FILE)
    bf16 = choose_precision(precision, accelerator="cpu")[0].startswith("bf16")
    order = np.random.default_rng(0)
    with memory_kept():
        step, optimizer = _our_parts(case)
        gate, taken = Gate(pipe, case.batch), 0
        step_module.draw_views, step_module.apply_views = gate.timed(draw_views), gate.timed(apply_views)
        student = _count(step.method.student)
        trained = sum(p.numel() for _, p in step.trained_parameters() if p.requires_grad)
        gate.further = {"backbone_parameters": student, "head_parameters": trained - student}
        while gate.wait():
            now = Progress(step=taken, total_steps=STEPS, steps_per_epoch=EPOCH)
            chosen = order.choice(len(images), case.batch, replace=False)
            batch = TrainingBatch(torch.from_numpy(images[chosen]).permute(0, 3, 1, 2), None)
            step.set_rates(optimizer, now)
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = step.forward(batch, now).loss
            loss.backward()
            step.before_optimizer(optimizer, now)
            optimizer.step()
            step.after_optimizer(now)
            gate.loss, taken = float(loss.detach()), taken + 1
            gate.left -= 1


def _our_parts(case: MethodCase) -> tuple[Any, Any]:
    """Build step and optimizer from the shipped recipe, for the case's backbone, views and optimizer."""
    import torch

    from vesalius.backbones.create_backbone import create_backbone
    from vesalius.methods.registry import build_method
    from vesalius.training.optimizers import build_optimizer
    from vesalius.training.precision import suit_accelerator
    from vesalius.training.recipe import load_recipe
    from vesalius.training.step import TrainingStep
    from vesalius.views.plans import plan_by_name

    options = [f"views.options.size={case.size}", f"views.options.locals={case.locals_}"]
    options += [f"views.options.local_size={case.local_size}"] if case.locals_ else []
    options += [f"backbone.name={case.backbone}", f"backbone.image_size={case.size}", "backbone.drop_path=0"]
    options += [f"optimizer.name={case.optimizer}", f"optimizer.lr={case.lr}", "optimizer.scale_lr=false"]
    options += ["optimizer.weight_decay=0", "optimizer.weight_decay_end=0", f"optimizer.momentum={MOMENTUM}"]
    options += ["optimizer.warmup_epochs=0", f"training.batch_size={case.batch}", "training.devices=1"]
    options += [f"method={_OURS[case.method]}"] if case.method in _OURS else []
    recipe = load_recipe(f"{case.method}/paper", overrides=options)
    plan = plan_by_name(recipe.views.plan, **recipe.views.options)
    torch.manual_seed(0)
    method = build_method(recipe.method, create_backbone(recipe.backbone), plan)
    suit_accelerator(method, accelerator="cpu")
    step = TrainingStep(recipe, method, plan)
    return step, build_optimizer(recipe.optimizer, step.trained_parameters(), constant_lr=method.constant_lr)


def _count(module: Any, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


class InMemory:
    """Images in memory, as PIL images to a transform (a `torch.utils.data.Dataset`)."""

    def __init__(self, images: np.ndarray, transform: Callable[[Any], Any]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        # Many times over: no round meets the end of an epoch.
        return 100 * len(self.images)

    def __getitem__(self, place: int) -> Any:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[place % len(self.images)]))


def run_lightly(pipe: Connection, case: MethodCase, folder: Path, threads: int, *, precision: str = "fp32") -> None:
    """Train by the loop that lightly documents for the method."""
    import warnings

    import torch
    from torch.utils.data import DataLoader

    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    dataset = InMemory(np.load(folder / IMAGES_FILE), peer_transform(case))
    loader: Any = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=case.batch,
        shuffle=True,
        drop_last=True,
        num_workers=case.workers,
    )
    network, compute_loss = PEERS[case.method](case)
    if case.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(network.parameters(), lr=case.lr, momentum=MOMENTUM)
    else:
        optimizer = torch.optim.Adam(network.parameters(), lr=case.lr)
    gate = Gate(pipe, case.batch, settle=wait_for_workers if case.workers else lambda: None)
    backbone = _count(network["backbone"])
    gate.further = {"backbone_parameters": backbone, "head_parameters": _count(network, trained=True) - backbone}
    batches = iter(loader)
    while gate.wait():
        started = time.perf_counter()
        views = next(batches)
        gate.data_seconds += time.perf_counter() - started
        with torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else nullcontext():
            loss = compute_loss(views)
        gate.loss = float(loss.detach())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        gate.left -= 1
