"""One pretraining, from a resolved recipe and a pool of images to a run folder; begun, resumed or finished."""

from __future__ import annotations

import gc
import logging
import math
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Callback, Trainer, seed_everything
from rich.console import Console
from torch.utils.data import DataLoader

from vesalius.backbones.create_backbone import create_backbone
from vesalius.data.batches import ImagePool, TrainingBatches
from vesalius.data.kept_template import keep_template
from vesalius.data.knowledge_pool import KnowledgePool
from vesalius.data.pool_record import write_pool
from vesalius.data.region_maps import RegionPool
from vesalius.distributed import is_first_process
from vesalius.errors import CheckpointError, ConfigError, RunError
from vesalius.guidance.registry import build_guidance
from vesalius.methods.no_method import NoMethod
from vesalius.methods.registry import build_method
from vesalius.training.allocator import memory_kept
from vesalius.training.checkpoint import CheckpointWriter, read_step
from vesalius.training.cost import measure_cost, steps_within
from vesalius.training.failures import explain
from vesalius.training.interruption import StopBetweenSteps
from vesalius.training.module import PretrainingModule
from vesalius.training.monitors import MetricsWriter, Probe, ProbeRunner
from vesalius.training.precision import choose_precision, suit_accelerator
from vesalius.training.progress_bar import TrainingProgress
from vesalius.training.recipe import Recipe
from vesalius.training.run_folder import RunFolder, environment, now
from vesalius.training.step import TrainingStep
from vesalius.training.synced_batch_norm import synchronise_batch_norm
from vesalius.views.plans import plan_by_name

__all__ = ["Pretraining", "leads"]

PLAN_SECONDS = 1800
"""How long the other processes wait for the first to time its trial steps."""


def leads(recipe: Recipe) -> bool:
    """Say whether this process writes the run folder and speaks: the only one, or the first of several."""
    return not _several(recipe) or is_first_process()


def _several(recipe: Recipe) -> bool:
    return recipe.training.devices != 1 or recipe.training.nodes > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """The parts of one pretraining, ready to run.

    Attributes:
        recipe: Resolved (no `auto` left that depends on the data).
        pool: The images.
        knowledge: Their knowledge maps, where the recipe has guidance.
        regions: Their regions, where the method learns from them.
        folder: Where it is written.
        probes: Online monitors.
        console: Where it speaks.
    """

    recipe: Recipe
    pool: ImagePool
    folder: RunFolder
    probes: Sequence[Probe]
    console: Console
    knowledge: KnowledgePool | None = None
    regions: RegionPool | None = None

    def run(self, *, state: dict[str, Any], resume: bool) -> None:
        """Train to the end.

        Args:
            state: What run.json shall say of command, data and notes.
            resume: Go on in an existing folder; its recipe and its data must be the same.

        Raises:
            RunError: The folder is taken, or there is nothing to resume.
            CheckpointError: The checkpoint belongs to another recipe or other images.
            TrainingError: The loss is no number, or the images do not fill a batch.
        """
        with memory_kept() if self._accelerator() == "cpu" else nullcontext():
            try:
                self._run(state=state, resume=resume)
            finally:
                # Lightning's trainer and the module hold each other, and Python looks at what is old very rarely.
                gc.collect()

    def _run(self, *, state: dict[str, Any], resume: bool) -> None:
        seed_everything(self.recipe.training.seed, verbose=False)
        plan = plan_by_name(self.recipe.views.plan, **self.recipe.views.options)
        method = build_method(self.recipe.method, create_backbone(self.recipe.backbone), plan)
        guidance = None
        if self.recipe.guidance is not None and self.knowledge is not None:
            known = self.knowledge
            guidance = build_guidance(
                self.recipe.guidance, known.names, method.student, template_side=known.template_side
            )
        elif isinstance(method, NoMethod):
            raise ConfigError("method none learns from guidance alone: give the recipe a guidance section")
        step = TrainingStep(self.recipe, method, plan, guidance)
        accelerator = self._accelerator()
        suit_accelerator(method, accelerator=accelerator)
        if _several(self.recipe):
            synchronise_batch_norm(method, accelerator=accelerator)
        precision, why = choose_precision(self.recipe.training.precision, accelerator=accelerator)
        self.console.print(f"precision {why}", highlight=False)
        if resume:
            start, total = self._resume(state)
        elif not leads(self.recipe):
            start, total = 0, self._wait_for_plan()
        else:
            planned = self._plan_steps(step, accelerator, bf16=precision.startswith("bf16"))
            start, total = 0, planned["steps"]
            state = state | planned
            state |= {
                "status": "running",
                "seed": self.recipe.training.seed,
                "started": now(),
                "device": accelerator,
                "precision": precision,
                "versions": environment(),
                "parameters": sum(p.numel() for p in method.student.parameters()),
                "alarms": [],
            }
            self.folder.create(self.recipe, state)
            write_pool(self.folder.pool_file, self.pool.parts)
        if self.knowledge is not None and leads(self.recipe):
            keep_template(self.knowledge.maps[0], self.folder.guidance)
        module = PretrainingModule(step, steps_per_epoch=self._epoch, total_steps=total)
        with self.folder.hold() if leads(self.recipe) else nullcontext():
            self._fit(module, start)

    @property
    def _epoch(self) -> int:
        return max(1, len(self.pool) // self.recipe.training.batch_size)

    @property
    def _probe_every(self) -> int:
        return max(1, round(self.recipe.monitors.every_epochs * self._epoch))

    def _accelerator(self) -> str:
        wanted = self.recipe.training.accelerator
        if wanted != "auto":
            return {"gpu": "cuda"}.get(wanted, wanted)
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _plan_steps(self, step: TrainingStep, accelerator: str, *, bf16: bool) -> dict[str, Any]:
        """Say what the training will cost before it starts; a budget decides the number of steps. For run.json."""
        # Refuses too small a pool before anything is timed.
        batches = self._batches(total_steps=0)
        cost = measure_cost(step, batches, self.probes, device=torch.device(accelerator), bf16=bf16)
        budget = self.recipe.training.budget_minutes
        if budget is None:
            steps = math.ceil(self.recipe.training.epochs * self._epoch)
        else:
            steps = steps_within(budget, cost, self._probe_every)
        seed_everything(self.recipe.training.seed, verbose=False)
        minutes = cost.total_minutes(steps, self._probe_every)
        self.console.print(
            f"{len(self.pool):,} images, {steps:,} steps of {self.recipe.training.batch_size} "
            f"({steps / self._epoch:.1f} epochs), {cost.step_seconds:.2f} s a step: "
            f"about {minutes:.1f} minutes",
            highlight=False,
        )
        return {"steps": steps, "step_seconds": round(cost.step_seconds, 4), "planned_minutes": round(minutes, 2)}

    def _resume(self, state: dict[str, Any]) -> tuple[int, int]:
        written = self.folder.state()
        if written["data"]["fingerprint"] != state["data"]["fingerprint"]:
            raise CheckpointError(
                f"{self.folder.path}: was trained on other images (fingerprint {written['data']['fingerprint'][:12]}, "
                f"now {state['data']['fingerprint'][:12]}); resume with the same --data"
            )
        if any(written["data"].get(kind) != state["data"].get(kind) for kind in ("maps", "regions")):
            raise CheckpointError(f"{self.folder.path}: was guided by other maps; resume with the same ones")
        start = read_step(self.folder) if self.folder.checkpoint.is_file() else 0
        self.console.print(f"resuming at step {start:,} of {written['steps']:,}", highlight=False)
        return start, int(written["steps"])

    def _fit(self, module: PretrainingModule, start: int) -> None:
        training = self.recipe.training
        seconds = self.folder.cut_metrics(start) if leads(self.recipe) else 0.0
        writer = MetricsWriter(
            self.folder,
            every_steps=training.log_every_steps,
            total_steps=module.total_steps,
            seconds_before=seconds,
            say=lambda text: self.console.print(f"[bold red]{text}[/]", highlight=False),
        )
        saver = CheckpointWriter(self.folder, every_minutes=training.checkpoint_minutes)
        stopper = StopBetweenSteps()
        prober = ProbeRunner(self.folder, writer, self.probes, every_steps=self._probe_every)
        trainer = self._trainer(module, [writer, prober, TrainingProgress(self.console), stopper, saver])
        batches = self._batches(
            total_steps=module.total_steps,
            start_step=start,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        loader = DataLoader(batches, batch_size=None, pin_memory=torch.cuda.is_available())
        if leads(self.recipe):
            self.folder.update_state(status="running")
        try:
            with warnings.catch_warnings():
                # One process reads the memory map faster than workers could hand batches over.
                warnings.filterwarnings("ignore", message=".*does not have many workers.*")
                warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
                warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)`.*")
                trainer.fit(module, loader, ckpt_path=self.folder.checkpoint if start else None, weights_only=True)
        except BaseException as error:
            with suppress(OSError):  # run.json itself may not fit on a full disk; it then still says `running`
                self._finish("interrupted", writer, trainer.global_step)
            if isinstance(error, SystemExit):  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from error
            explained = explain(error, self.folder, self.recipe)
            if explained is not None:
                raise explained from error
            raise
        finally:
            stopper.restore()
        done = trainer.global_step >= module.total_steps
        self._finish("done" if done else "interrupted", writer, trainer.global_step)
        if not done:
            self.console.print(
                f"interrupted at step {trainer.global_step:,}; continue it with --resume", highlight=False
            )
            stopper.raise_again()

    def _batches(self, *, total_steps: int, **where: int) -> TrainingBatches:
        training = self.recipe.training
        return TrainingBatches(
            self.pool,
            batch_size=training.batch_size,
            seed=training.seed,
            total_steps=total_steps,
            knowledge=None if self.knowledge is None else self.knowledge.gather,
            regions=None if self.regions is None else self.regions.gather,
            **where,
        )

    def _wait_for_plan(self) -> int:
        """Wait until the first process has written the folder; return the steps it planned."""
        until = time.monotonic() + PLAN_SECONDS
        while not self.folder.exists:
            if time.monotonic() > until:
                raise RunError(f"{self.folder.path}: the first process planned nothing in {PLAN_SECONDS} seconds")
            time.sleep(0.1)
        return int(self.folder.state()["steps"])

    def _trainer(self, module: PretrainingModule, callbacks: list[Callback]) -> Trainer:
        training = self.recipe.training
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        precision, _ = choose_precision(training.precision, accelerator=self._accelerator())
        accelerator = self._accelerator()
        return Trainer(
            accelerator={"cuda": "gpu"}.get(accelerator, accelerator),
            devices=training.devices,
            num_nodes=training.nodes,
            strategy=training.strategy,
            precision=precision,  # type: ignore[arg-type]  # one of Lightning's words, see choose_precision
            max_steps=module.total_steps,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )

    def _finish(self, status: str, writer: MetricsWriter, step: int) -> None:
        if not leads(self.recipe):
            return
        self.folder.update_state(
            status=status,
            finished=now(),
            seconds=round(writer.seconds, 1),
            steps_taken=step,
            epochs=round(step / self._epoch, 3),
            images_seen=step * self.recipe.training.batch_size,
        )
