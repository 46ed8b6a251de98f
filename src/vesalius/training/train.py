"""One pretraining, from a resolved recipe and a pool of images to a run folder; begun, resumed or finished."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning import Callback, seed_everything
from rich.console import Console
from torch.utils.data import DataLoader

from vesalius.data.batches import ImagePool, TrainingBatches
from vesalius.data.kept_template import keep_template
from vesalius.data.knowledge_pool import KnowledgePool
from vesalius.data.pool_record import write_pool
from vesalius.data.region_maps import RegionPool
from vesalius.errors import CheckpointError
from vesalius.training.allocator import memory_kept
from vesalius.training.build import Built, build_networks
from vesalius.training.checkpoint import CheckpointWriter, read_step
from vesalius.training.cost import Cost, Trial, measure_costs
from vesalius.training.export import keep_untrained
from vesalius.training.failures import explain
from vesalius.training.interruption import StopBetweenSteps
from vesalius.training.leading import leads, wait_for_plan
from vesalius.training.lightning_trainer import lightning_trainer, unwarned
from vesalius.training.module import PretrainingModule
from vesalius.training.monitors import MetricsWriter, Probe, ProbeRunner
from vesalius.training.planning import NOTHING, Plan, plan_of
from vesalius.training.progress_bar import TrainingProgress
from vesalius.training.recipe import Recipe
from vesalius.training.region_snapshots import RegionSnapshots
from vesalius.training.run_folder import RunFolder, environment, now
from vesalius.training.validation import Validation, ValidationRunner

__all__ = ["Pretraining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """The parts of one pretraining, ready to run.

    Attributes:
        recipe: Resolved (no `auto` left that depends on the data).
        pool: The images.
        knowledge: Their knowledge maps, where the recipe has guidance.
        regions: Their regions, where the method learns from them.
        validation: Computes the loss on images held out, where the recipe asks for it.
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
    validation: Validation | None = None

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
        with memory_kept() if self.accelerator == "cpu" else nullcontext():
            try:
                self._run(state=state, resume=resume)
            finally:
                # Lightning's trainer and the module hold each other, and Python looks at what is old very rarely.
                gc.collect()

    def trial(self, built: Built | None = None) -> Trial:
        """Return what is timed before the training starts.

        Raises:
            TrainingError: The images do not fill a batch.
        """
        built = built or self._built()
        return Trial(
            step=built.step,
            batches=self._batches(total_steps=0),  # refuses too small a pool before anything is timed
            probes=self.probes,
            device=torch.device(self.accelerator),
            bf16=built.precision.startswith("bf16"),
            validation=self.validation,
        )

    def plan(self, cost: Cost) -> Plan:
        """Count the steps that the training takes at such a cost, and say how long; nothing is written."""
        looks = (self._probe_every, 1 if self.validation is None else self.validation.every_steps(self._epoch))
        planned = plan_of(self.recipe.training, cost, epoch=self._epoch, looks=looks)
        stops = self.recipe.validation is not None and self.recipe.validation.patience is not None
        self.console.print(
            f"{len(self.pool):,} images, {planned.steps:,} steps of {self.recipe.training.batch_size} "
            f"({planned.steps / self._epoch:.1f} epochs), {planned.step_seconds:.2f} s a step: "
            f"{'at most ' if stops else ''}about {planned.minutes:.1f} minutes",
            highlight=False,
        )
        return planned

    def _run(self, *, state: dict[str, Any], resume: bool) -> None:
        built = self._built()
        self.console.print(f"precision {built.why}", highlight=False)
        if resume:
            start, total = self._resume(state)
        elif not leads(self.recipe):
            start, total = 0, wait_for_plan(self.folder)
        else:
            planned = NOTHING
            if self.recipe.training.steps != 0:
                self._check_processes()
                planned = self._plan_steps(built)
            start, total = 0, planned.steps
            state = state | planned.as_state()
            state |= {
                "status": "running",
                "seed": self.recipe.training.seed,
                "started": now(),
                "device": self.accelerator,
                "precision": built.precision,
                "versions": environment(),
                "parameters": sum(p.numel() for p in built.step.method.student.parameters()),
                "alarms": [],
            }
            self.folder.create(self.recipe, state)
            write_pool(self.folder.pool_file, self.pool.parts if planned.steps else [])
        if self.knowledge is not None and leads(self.recipe):
            keep_template(self.knowledge.maps[0], self.folder.guidance)
        module = PretrainingModule(built.step, steps_per_epoch=self._epoch, total_steps=total)
        with self.folder.hold() if leads(self.recipe) else nullcontext():
            self._fit(module, start) if total else keep_untrained(module, self.folder)

    @property
    def _epoch(self) -> int:
        return max(1, len(self.pool) // self.recipe.training.batch_size)

    @property
    def _probe_every(self) -> int:
        return max(1, round(self.recipe.monitors.every_epochs * self._epoch))

    @property
    def accelerator(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        wanted = self.recipe.training.accelerator
        if wanted != "auto":
            return {"gpu": "cuda"}.get(wanted, wanted)
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _built(self) -> Built:
        return build_networks(self.recipe, self.knowledge, accelerator=self.accelerator)

    def _check_processes(self) -> None:
        """Refuse devices that are not there and a batch that they cannot share, before anything is timed or written."""
        trainer = lightning_trainer(self.recipe.training, accelerator=self.accelerator, max_steps=1, callbacks=[])
        self._batches(total_steps=0, rank=trainer.global_rank, world_size=trainer.world_size)

    def _plan_steps(self, built: Built) -> Plan:
        """Say what the training will cost before it starts; a budget decides the number of steps."""
        try:
            [cost] = measure_costs([self.trial(built)])
        except (RuntimeError, MemoryError) as error:
            self.tell(error)
            raise
        seed_everything(self.recipe.training.seed, verbose=False)
        return self.plan(cost)

    def tell(self, error: BaseException) -> None:
        """Raise what stopped the training in words that say what to do, where there are such.

        Raises:
            TrainingError, RunError, CheckpointError: See `vesalius.training.failures.explain`.
        """
        explained = explain(error, self.folder, self.recipe)
        if explained is not None:
            raise explained from error

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
        validator = self._validator(writer)
        saver = CheckpointWriter(
            self.folder,
            every_minutes=training.checkpoint_minutes,
            with_backbone=lambda: not any(one.holds_best for one in validator),
        )
        watching = [writer, *self._lookers(module, writer), *validator]
        stopper = StopBetweenSteps()
        trainer = lightning_trainer(
            training,
            accelerator=self.accelerator,
            max_steps=module.total_steps,
            callbacks=[*watching, TrainingProgress(self.console), stopper, saver],
            all_learn=self.recipe.method.name != "none",  # guidance alone need not ask the last block's own output
        )
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
            with unwarned():
                trainer.fit(module, loader, ckpt_path=self.folder.checkpoint if start else None, weights_only=True)
        except BaseException as error:
            with suppress(OSError):  # run.json itself may not fit on a full disk; it then still says `running`
                self._finish("interrupted", writer, trainer.global_step)
            if isinstance(error, SystemExit):  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from error
            self.tell(error)
            raise
        finally:
            stopper.restore()
        early = any(one.stopped for one in validator)
        done = early or trainer.global_step >= module.total_steps
        self._finish("done" if done else "interrupted", writer, trainer.global_step, stopped_early=early)
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

    def _lookers(self, module: PretrainingModule, writer: MetricsWriter) -> list[Callback]:
        """Return what looks at the training now and then: the probes, and what keeps regions where they form."""
        every = self._probe_every
        lookers: list[Callback] = [ProbeRunner(self.folder, writer, self.probes, every_steps=every)]
        if self.regions is not None:
            lookers.append(RegionSnapshots(self.folder, self.pool, self.regions, module.step.plan, every_steps=every))
        return lookers

    def _validator(self, writer: MetricsWriter) -> list[ValidationRunner]:
        """Return what runs the validation: one, or none."""
        if self.validation is None:
            return []
        say = partial(self.console.print, highlight=False)
        return [ValidationRunner(self.folder, writer, self.validation, steps_per_epoch=self._epoch, say=say)]

    def _finish(self, status: str, writer: MetricsWriter, step: int, *, stopped_early: bool = False) -> None:
        if not leads(self.recipe):
            return
        self.folder.update_state(
            status=status,
            finished=now(),
            seconds=round(writer.seconds, 1),
            steps_taken=step,
            epochs=round(step / self._epoch, 3),
            images_seen=step * self.recipe.training.batch_size,
            **({"stopped_early": True} if stopped_early else {}),
        )
