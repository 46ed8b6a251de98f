"""The work of a study: what was asked for in plain values, done in this process or by several."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.data.engines import check_engine
from vesalius.data.run_apart import run_apart
from vesalius.errors import ConfigError
from vesalius.pipeline.pretraining import plan_pretrainings, pretrain
from vesalius.pipeline.scoring import (
    evaluate,
    evaluate_attention,
    evaluate_coordinates,
    evaluate_detect,
    evaluate_regions,
    evaluate_segment,
)
from vesalius.pipeline.scoring_cost import label_training
from vesalius.study.about import all_tasks
from vesalius.study.definition import Study, StudyArm
from vesalius.study.label_trainings import LabelTraining
from vesalius.study.plan_words import plan_words
from vesalius.study.preparation import check_arms, check_scored, planned_tasks, stores_scored
from vesalius.study.run_study import Outcome, StudyRun
from vesalius.study.scored import ON_LABELS, Scored
from vesalius.study.verbs import Verbs

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.data.open_pool import Data
    from vesalius.records.result import Result
    from vesalius.training.planning import Plan

__all__ = ["StudyWork", "check_jobs"]

_Say = Callable[[str], None]

_ONE_AT_A_TIME = threading.Lock()
"""A Dask worker may have several threads, which would share torch's generator, its GPU and where words go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyWork:
    """A study as it was asked for, see `vesalius.study`; another process makes the same of it.

    Attributes:
        study: All its arms.
        data: Unlabelled stores.
        out: Its folder.
        masks: Stores whose masks are scored by.
        labels: Stores and labels.
        objects: Folders in COCO's format, which detection is scored on.
        tasks: Which; empty for all that the tables show.
        arms: Which; empty for all.
        seeds: Trainings an arm.
        overrides: For every arm.
        budget_minutes: For every arm.
        threads: Of this process; None for as many as torch takes.
        root: Folder of the studies that this one is a part of.
    """

    study: Study
    data: Data
    out: Path
    masks: tuple[Path, ...]
    labels: tuple[tuple[Path, str], ...]
    objects: tuple[Path, ...]
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: int
    overrides: tuple[str, ...]
    budget_minutes: float | None
    threads: int | None = None
    root: Path | None = None

    def run(self) -> StudyRun:
        """Return the study in its folder, of the arms asked for."""
        return self._run_of(self.study.some(self.arms))

    def whole(self) -> StudyRun:
        """Return it with the arms, seeds and tasks that earlier calls did, which stand in the tables as well."""
        run = self.run()
        shown = self.study.some(tuple(arm for arm in self.study.arms if arm in run.study.arms or run.has_results(arm)))
        tasks = all_tasks(self.out, self._run_of(shown).tasks)
        return replace(run, study=shown, tasks=tasks, seeds=run.seeds_scored())

    def begin(self, say: _Say, jobs: int = 1) -> StudyRun:
        """Look at all that the study needs, begin its folder, count every arm's steps and say what they cost."""
        run = self.run()
        idle = [arm for arm in self.arms if arm not in run.study.arms]
        if idle:
            say(f"no table of what is given shows {', '.join(idle)}; not trained")
        for warning in check_scored(run.study, run.tasks):
            say(warning)
        pool, maps = check_arms(run.study, self.data, self.overrides)
        run.begin(self.shared(pool), maps, stores_scored(run.tasks))
        with _threads(self.threads):
            verbs = self.verbs(None)
            run.plan(verbs, say)
            for line in plan_words(run, verbs, jobs):
                say(line)
        return run

    def one_by_one(self, run: StudyRun, console: Console, say: _Say) -> list[Outcome]:
        """Do every training in this process."""
        verbs, planned, found = self.verbs(console), run.trainings(), []
        for number, (name, seed) in enumerate(planned, 1):
            about = f"{number} of {len(planned)}: {run.title(name, seed)}"
            found.append(run.do(name, seed, verbs, begin=partial(say, about)))
            _tell(found[-1], about, say)
        return found

    def together(self, run: StudyRun, *, engine: str, jobs: int, say: _Say) -> list[Outcome]:
        """Do several trainings at a time, each in a process that writes its own log (`logs/`).

        One whose process dies, for want of memory, is told as failed, and the others go on.
        """
        planned = run.trainings()
        calls = [(self, name, seed, jobs) for name, seed in planned]
        found: list[Outcome] = []
        for place, told in run_apart(_do_elsewhere, calls, workers=jobs, engine=engine):
            outcome = told if isinstance(told, Outcome) else run.fail(*planned[place], told)
            found.append(outcome)
            about = f"{len(found)} of {len(planned)}: {run.title(outcome.arm, outcome.seed)}"
            if outcome.state == "done":
                say(f"{about}: done")
            _tell(outcome, about, say)
        return found

    def verbs(self, console: Console | None) -> Verbs:
        """Return what a study does with its arms; the console is where trainings speak."""

        def plan(arms: Sequence[StudyArm]) -> Sequence[Plan]:
            given = [(arm.recipe, [*arm.set, *self.overrides]) for arm in arms]
            return plan_pretrainings(given, data=self.data, budget_minutes=self.budget_minutes)

        def train(recipe: str, changes: Sequence[str], own: Sequence[str], folder: Path, resume: bool) -> None:
            # Its own seed and steps come last: an override of the whole `training` must not make all seeds one.
            given = [] if resume else [*changes, *self.overrides, *own]
            pretrain(recipe, data=self.data, out=folder, overrides=given, resume=resume, console=console)

        def price(arm: StudyArm, task: Scored) -> LabelTraining | None:
            return label_training(self.study, arm, self.overrides, task)

        return Verbs(plan, train, lambda folder, task: _score(self.study, self.out / "cache", folder, task), price)

    def shared(self, pool: str) -> dict[str, Any]:
        """Return what all arms share."""
        return {"pool": pool, "budget_minutes": self.budget_minutes, "overrides": list(self.overrides)}

    def _run_of(self, study: Study) -> StudyRun:
        tasks = self.tasks or sorted({table.task for table in study.tables.values()})
        scored = planned_tasks(study, tasks, masks=self.masks, labels=self.labels, objects=self.objects)
        shown = [table for table in study.tables.values() if any(one.is_of(table) for one in scored)]
        arms = tuple(arm for arm in study.arms if any(arm in table.arms for table in shown))
        return StudyRun(study.some(arms), self.out, self.seeds, scored)  # what no table shows is not trained


def check_jobs(engine: str, jobs: int) -> None:
    """Refuse an engine that is not there, and less than one job.

    Raises:
        ConfigError: So it is.
    """
    check_engine(engine)
    if jobs < 1:
        raise ConfigError(f"jobs = {jobs}: give at least 1")


def _score(study: Study, cache: Path, folder: Path, task: Scored) -> Sequence[Result]:
    how: dict[str, Any] = {"data": task.store, "image_size": task.input_size(study)}
    # Arms share the untrained network's features, fits and maps.
    amounts: dict[str, Any] = {"fractions": (task.fraction,), "seeds": task.draws, "cache": cache}
    few = amounts | {"random_inits": 1, "protocol": task.protocol, "folds": task.folds}
    if task.task in ON_LABELS:
        how |= {"overrides": study.finetune} if task.task == "finetune" else {"features": task.features}
        how |= {"k": task.k} if task.task == "knn" else {}
        return [evaluate(folder, task=task.task, label=task.label, **how, **few)]
    if task.task == "segment":
        trained = task.decoder != "linear"
        how |= {"parts": task.parts, "decoder": task.decoder, "overrides": study.segment if trained else ()}
        return evaluate_segment(folder, **how, **few)
    if task.task == "detect":
        return [evaluate_detect(folder, data=task.store, overrides=study.detect, **amounts)]
    if task.task == "regions":
        return evaluate_regions(folder, **how)
    verb = evaluate_attention if task.task == "attention" else evaluate_coordinates
    return verb(folder, maps=_maps_of(task.store), **how)


def _maps_of(store: Path) -> str | None:
    """Return the name of the deformable maps of a scored store, whose parts stand beside, where it has them."""
    return "deformable" if (store / "maps" / "deformable" / "maps.json").is_file() else None


def _do_elsewhere(work: StudyWork, name: str, seed: int, jobs: int) -> Outcome:
    """Do one training in a process of its own, whose words go to a file."""
    from rich.console import Console

    from vesalius.pipeline.own_device import take_device

    run = work.run()
    log = work.out / "logs" / f"{name}-seed{seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        _ONE_AT_A_TIME,
        log.open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        take_device((work.root or work.out) / ".locks", jobs)
        with _threads(work.threads):
            return run.do(name, seed, work.verbs(Console(file=file, width=120)))


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch take so many threads, as many as before where that is None."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tell(outcome: Outcome, about: str, say: _Say) -> None:
    if outcome.state == "elsewhere":
        say(f"{about}: with another process")
    if outcome.state == "failed":
        say(f"{about}: failed: {outcome.why}")
