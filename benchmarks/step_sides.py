"""The two sides of `step_throughput.py`: the package's own training and lightly's documented DINO loop, each gated."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

__all__ = ["SIDES", "Case", "Gate", "wait_for_workers"]

PROTOTYPES, WORKERS = 2048, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One backbone at one size; `steps` a round."""

    backbone: str
    size: int
    batch: int
    steps: int
    mode: str = "defaults"


class Gate:
    """Lets a side take as many steps as the other end of the pipe asks for, and tells it how long they took."""

    def __init__(self, pipe: Connection, batch: int, settle: Callable[[], None] = lambda: None) -> None:
        self.pipe, self.batch, self.settle = pipe, batch, settle
        self.left, self.steps, self.data_seconds, self.loss = 0, 0, 0.0, float("nan")
        self.wall = self.cpu = self.before = 0.0
        self.further: dict[str, float] = {}  # told with every answer

    def wait(self) -> bool:
        """Wait for the next order once the present one is done; say whether there is one."""
        if self.left == 0:
            if self.steps:
                wall, cpu = time.perf_counter() - self.wall, _cpu_seconds() - self.cpu
                share = self.data_seconds / wall
            self.settle()
            if not self.steps:
                self.before = _resident_mib("VmRSS")
            else:
                rates = {"wall": self.steps * self.batch / wall, "cpu": self.steps * self.batch / cpu}
                answer = {**rates, "data_share": share, "loss": self.loss, "before_mib": self.before}
                self.pipe.send(answer | _memory() | self.further)
            self.steps = self.left = self.pipe.recv()
            self.data_seconds, self.wall, self.cpu = 0.0, time.perf_counter(), _cpu_seconds()
        return self.steps > 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Count the seconds of a function as data work."""

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.data_seconds += time.perf_counter() - start

        return call


def _cpu_seconds() -> float:
    """CPU seconds of this process and its workers."""
    me = psutil.Process()
    return sum(sum(part.cpu_times()[:2]) for part in (me, *me.children()))


def _resident_mib(field: str) -> float:
    """Resident memory of this process: `VmRSS` now, `VmHWM` at its highest."""
    return int(re.findall(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def _memory() -> dict[str, float]:
    """Peak resident memory of this process, and what its workers hold for themselves beside it, in MiB."""
    workers = sum(child.memory_full_info().uss for child in psutil.Process().children())
    return {"peak_mib": _resident_mib("VmHWM"), "workers_mib": workers / 2**20}


def run_ours(pipe: Connection, case: Case, folder: Path, threads: int) -> None:
    """Train by the package's own path, gated by a callback."""
    import torch
    from lightning import Callback, Trainer
    from rich.console import Console

    from vesalius.data.batches import ImagePool
    from vesalius.data.store import open_store
    from vesalius.training import step, train
    from vesalius.training.lightning_trainer import lightning_trainer
    from vesalius.training.planning import Plan
    from vesalius.training.recipe import load_recipe
    from vesalius.training.run_folder import RunFolder

    torch.set_num_threads(threads)
    gate = Gate(pipe, case.batch)

    class GateCallback(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            del trainer
            if case.mode == "same":
                for part in pl_module.method.modules():
                    if hasattr(part, "fused_attn"):
                        part.fused_attn = True
            step.draw_views, step.apply_views = gate.timed(step.draw_views), gate.timed(step.apply_views)
            gate.wait()

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            del trainer, args
            gate.left -= 1
            gate.loss = float(pl_module.output.loss.detach())
            if not gate.wait():
                # Ended here: what is written at the end of a training is no part of a step.
                pipe.close()
                os._exit(0)

    class Gated(train.Pretraining):
        def _plan_steps(self, *args: Any, **kwargs: Any) -> Plan:
            del args, kwargs
            return Plan(steps=1000, step_seconds=0.0, minutes=0.0)

    def gated_trainer(*args: Any, callbacks: list[Callback], **kwargs: Any) -> Trainer:
        return lightning_trainer(*args, callbacks=[*callbacks, GateCallback()], **kwargs)

    train.lightning_trainer = gated_trainer
    options = [f"views.options={{locals: 0, size: {case.size}, area: [0.4, 1.0]}}", "training.devices=1"]
    options += [f"backbone.name={case.backbone}", f"backbone.image_size={case.size}", "backbone.drop_path=0"]
    options += [f"method.prototypes={PROTOTYPES}", f"training.batch_size={case.batch}", "training.accelerator=cpu"]
    if case.mode == "same":
        options.append("training.precision=fp32")
    else:
        options += ["backbone.in_chans=1", "backbone.mean=null", "backbone.std=null"]
    store = open_store(folder / "store")
    pool = ImagePool([(store, store.rows())])
    pool.gather = gate.timed(pool.gather)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as out:
        console = Console(quiet=True)
        recipe, run = load_recipe("dino", overrides=options), RunFolder(Path(out) / "run")
        Gated(recipe=recipe, pool=pool, folder=run, probes=[], console=console).run(state={}, resume=False)


def run_lightly(pipe: Connection, case: Case, folder: Path, threads: int) -> None:
    """Train by the loop that lightly documents, with a timm ViT as the backbone."""
    import copy
    import warnings

    import timm
    import torch
    from torch.utils.data import ConcatDataset, DataLoader

    warnings.filterwarnings("ignore")
    from lightly.data import LightlyDataset
    from lightly.loss import DINOLoss
    from lightly.models.modules import DINOProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.transforms.dino_transform import DINOTransform
    from lightly.utils.scheduler import cosine_schedule

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    student = timm.create_model(case.backbone, img_size=case.size, num_classes=0)
    student_head = DINOProjectionHead(student.num_features, 2048, 256, PROTOTYPES, freeze_last_layer=1)
    teacher = copy.deepcopy(student)
    teacher_head = DINOProjectionHead(student.num_features, 2048, 256, PROTOTYPES)
    deactivate_requires_grad(teacher)
    deactivate_requires_grad(teacher_head)
    transform = DINOTransform(global_crop_size=case.size, n_local_views=0)
    dataset = LightlyDataset(str(folder / "png" / "images"), transform=transform)
    # The set many times over: no round meets the end of an epoch.
    loader: DataLoader[Any] = DataLoader(
        ConcatDataset([dataset] * 50), batch_size=case.batch, shuffle=True, drop_last=True, num_workers=WORKERS
    )
    criterion = DINOLoss(output_dim=PROTOTYPES, warmup_teacher_temp_epochs=5)
    optimizer = torch.optim.Adam([*student.parameters(), *student_head.parameters()], lr=0.001)
    gate = Gate(pipe, case.batch, settle=wait_for_workers)
    batches = iter(loader)
    while gate.wait():
        momentum = cosine_schedule(0, 10, 0.996, 1)
        views = gate.timed(next)(batches)[0]
        update_momentum(student, teacher, m=momentum)
        update_momentum(student_head, teacher_head, m=momentum)
        of_teacher = [teacher_head(teacher(view).flatten(start_dim=1)) for view in views[:2]]
        of_student = [student_head(student(view).flatten(start_dim=1)) for view in views]
        loss = criterion(of_teacher, of_student, epoch=0)
        gate.loss = float(loss.detach())
        loss.backward()
        student_head.cancel_last_layer_gradients(current_epoch=0)
        optimizer.step()
        optimizer.zero_grad()
        gate.left -= 1


def wait_for_workers() -> None:
    """Wait until the loader's workers have filled their queue and rest."""
    before, quiet = -1.0, 0
    while quiet < 2:
        now = sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())
        quiet = quiet + 1 if now - before < 0.02 else 0
        before = now
        time.sleep(0.25)


SIDES = {"ours": run_ours, "lightly": run_lightly}
