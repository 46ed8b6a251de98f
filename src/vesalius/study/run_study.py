"""Training and scoring every arm of a study; what is done stays done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vesalius.atomic import replace_text
from vesalius.errors import RunError
from vesalius.locks import holding
from vesalius.records.result import Result
from vesalius.study.about import ABOUT, about_of, differing, write_about
from vesalius.study.definition import Study, StudyArm
from vesalius.study.failures import Failures, reason
from vesalius.study.results_file import read_results
from vesalius.study.scored import Scored
from vesalius.study.verbs import Verbs
from vesalius.training.planning import NOTHING, Plan
from vesalius.training.run_folder import RunFolder

__all__ = ["Outcome", "StudyRun"]

_PLAN, _LOCKS, _RUNS, _RESULTS = "plan.json", ".locks", "runs", "results"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went with one training of one arm.

    Attributes:
        arm: Which.
        seed: Which training of it.
        state: `elsewhere` where another process is at it.
        why: It failed, or tasks of it, which are named.
    """

    arm: str
    seed: int
    state: Literal["done", "elsewhere", "failed"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class StudyRun:
    """A study in its folder: `plan.json`, `runs/<arm>-seed<n>`, `results/<arm>-seed<n>/<task>-<store>[-<label>].json`.

    Attributes:
        study: What is compared.
        out: The folder.
        seeds: How many trainings an arm.
        tasks: What is scored.
    """

    study: Study
    out: Path
    seeds: int
    tasks: tuple[Scored, ...]

    def begin(
        self,
        settings: Mapping[str, Any],
        maps: Mapping[str, Sequence[str]] | None = None,
        stores: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Write down what makes arms comparable; a folder begun under other settings is refused once something is done.

        Until then, as after a look at the plan, what was written and planned makes room.

        Args:
            settings: What all arms share.
            maps: By arm the digests of the maps and regions that it learns from: guided anew, it is another arm.
            stores: Fingerprints of the stores that are scored, by name: prepared anew, it is another store.

        Raises:
            RunError: See `vesalius.study.about.write_about`.
        """
        about = about_of(self.study, settings, maps or {}, stores or {}, self.tasks)
        # The file itself may be half written by another process that begins the same study.
        own = (ABOUT, _LOCKS, _RUNS)
        others = [one for one in self.out.glob("*") if not one.name.startswith(own)]
        if not (self.out / ABOUT).is_file() and others:
            raise RunError(f"{self.out}: holds other files ({others[0].name}); name an empty or a new folder")
        with holding(self._lock, wait=True):
            if self._may_change and differing(self.out, about):
                self.plan_file.unlink(missing_ok=True)
                (self.out / ABOUT).unlink()
            write_about(self.out, about)

    @property
    def _may_change(self) -> bool:
        """Whether it is written down, and nothing was trained or scored yet."""
        done = [one for folder in (_RUNS, _RESULTS) for one in (self.out / folder).glob("*")]
        return (self.out / ABOUT).is_file() and not done

    def plan(self, verbs: Verbs, say: Callable[[str], None]) -> None:
        """Count every arm's steps before any is trained; what is planned stays.

        All trainings of an arm take the same steps, whatever else the machine does meanwhile. Other processes of the
        study wait until they are counted.

        Args:
            verbs: What plans trainings.
            say: Told how far it is.
        """
        with holding(self._lock, wait=True):
            plans = self.plans()
            missing = [name for name in self.study.arms if name not in plans]
            plans |= {name: begun for name in missing if (begun := self._begun(name)) is not None}
            unknown = {name: arm for name, arm in self.study.arms.items() if name not in plans}
            if unknown:
                say("timing " + ", ".join(arm.title for arm in unknown.values()))
                plans |= self._planned(unknown, verbs, say, alone=not plans)
            if missing:
                content = {name: plan.as_state() for name, plan in plans.items()}
                replace_text(self.plan_file, json.dumps(content, indent=2) + "\n")

    def _planned(
        self, arms: Mapping[str, StudyArm], verbs: Verbs, say: Callable[[str], None], *, alone: bool
    ) -> dict[str, Plan]:
        """Plan arms together; one that cannot be is told and written down, and the others are planned without it.

        Args:
            arms: Which.
            verbs: What plans them.
            say: Told of those left out.
            alone: Whether these are all that the study could do.

        Raises:
            Exception: What keeps every arm from being planned, where these are all.
        """
        untrained = {name: NOTHING for name, arm in arms.items() if arm.untrained}
        arms = {name: arm for name, arm in arms.items() if not arm.untrained}
        try:
            return untrained | dict(zip(arms, verbs.plan(list(arms.values())) if arms else [], strict=True))
        except Exception as error:  # noqa: BLE001 (of any arm, whatever it is)
            whole = error
        able: dict[str, Plan] = {}
        for name, arm in arms.items():
            try:
                [able[name]] = verbs.plan([arm])
            except Exception as error:  # noqa: BLE001
                say(f"{arm.title} is left out: {reason(error)}")
                for seed in range(self.seeds):
                    self._failures.tell(name, seed, {"": error})
        if alone and not able and not untrained:
            raise whole
        if 1 < len(able) < len(arms):  # together, so that minutes mean the same to each
            able = dict(zip(able, verbs.plan([arms[name] for name in able]), strict=True))
        return untrained | able

    def plans(self) -> dict[str, Plan]:
        """Return what is planned, of every arm that could be."""
        file = self.plan_file
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return {arm: Plan.from_state(one) for arm, one in content.items()}

    def trainings(self) -> list[tuple[str, int]]:
        """Return every arm and seed that is planned, in the order in which they are done."""
        planned = self.plans()
        return [(name, seed) for seed in range(self.seeds) for name in self.study.arms if name in planned]

    def do(self, name: str, seed: int, verbs: Verbs, begin: Callable[[], None] = lambda: None) -> Outcome:
        """Train one arm unless that is done, and score it by what the tables show of it.

        What another process of the study is at is left to it. What fails is told and written down
        (`failed/<arm>-seed<n>.txt`), and keeps no other arm from being done, nor a task that cannot be scored another
        task. `begin` is called where it is begun.
        """
        with holding(self.out / _LOCKS / f"{name}-seed{seed}") as free:
            if not free:
                return Outcome(name, seed, "elsewhere")
            begin()
            try:
                self._train(name, seed, verbs)
                errors = self._score(name, seed, verbs)
            except Exception as error:  # noqa: BLE001 (of any arm, whatever it is; interruptions are none)
                errors = {"": error}
            if errors:
                return Outcome(name, seed, "failed", self._failures.tell(name, seed, errors))
            self._failures.forget(name, seed)
        return Outcome(name, seed, "done")

    def fail(self, name: str, seed: int, error: Exception) -> Outcome:
        """Write down what ended a training from outside, as when its process was killed."""
        return Outcome(name, seed, "failed", self._failures.tell(name, seed, {"": error}))

    def left_out(self) -> list[Outcome]:
        """Return the trainings that could not be planned."""
        planned, told = self.plans(), self._failures.told()
        missing = [(name, seed) for name in self.study.arms if name not in planned for seed in range(self.seeds)]
        return [Outcome(name, seed, "failed", told.get((name, seed), "not planned")) for name, seed in missing]

    def failures(self) -> dict[str, str]:
        """Return the trainings whose last try failed, in whole or in some tasks, by title and seed, and why."""
        told = self._failures.told()
        return {self.title(*training): why for training, why in told.items() if training[0] in self.study.arms}

    def title(self, name: str, seed: int) -> str:
        """Return what a training is called."""
        return f"{self.study.arms[name].title}, seed {seed}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the study's own files, while no other process of it does."""
        with holding(self._lock, wait=True):
            yield

    def folder(self, arm: str, seed: int) -> Path:
        """Return the run folder of an arm."""
        return self.out / _RUNS / f"{arm}-seed{seed}"

    def tasks_of(self, name: str) -> list[Scored]:
        """Return what the tables show of an arm."""
        tables = [table for table in self.study.tables.values() if name in table.arms]
        return [one for one in self.tasks if any(one.is_of(table) for table in tables)]

    def is_trained(self, arm: str, seed: int) -> bool:
        """Say whether a training is done, scored or not."""
        run = RunFolder(self.folder(arm, seed))
        return run.exists and bool(run.state()["status"] == "done")

    def results(self, arm: str, task: Scored) -> dict[int, list[Result]]:
        """Return what was scored, by seed; seeds that are not done are left out."""
        files = {seed: self._file(arm, seed, task) for seed in range(self.seeds)}
        return {seed: read_results(file) for seed, file in files.items() if file.is_file()}

    def seeds_scored(self) -> int:
        """Return how many seeds the results go up to, of this call or an earlier one."""
        files = (self.out / _RESULTS).glob("*-seed*/*.json")
        return 1 + max((int(file.parent.name.rpartition("-seed")[2]) for file in files), default=0)

    def has_results(self, arm: str) -> bool:
        """Say whether anything was scored of an arm, by this call or an earlier one."""
        return any((self.out / _RESULTS).glob(f"{arm}-seed*/*.json"))

    def _file(self, arm: str, seed: int, task: Scored) -> Path:
        return self.out / _RESULTS / f"{arm}-seed{seed}" / f"{task.name}.json"

    @property
    def plan_file(self) -> Path:
        """How many steps every arm takes."""
        return self.out / _PLAN

    @property
    def _failures(self) -> Failures:
        return Failures(self.out / "failed")

    @property
    def _lock(self) -> Path:
        """Held by the process that writes what all others read."""
        return self.out / _LOCKS / "study"

    def _begun(self, name: str) -> Plan | None:
        """Return the plan of an arm's first training where it was begun without one of the study."""
        run = RunFolder(self.folder(name, 0))
        return Plan.from_state(run.state()) if run.exists else None

    def _train(self, name: str, seed: int, verbs: Verbs) -> None:
        folder, arm = self.folder(name, seed), self.study.arms[name]
        if not self.is_trained(name, seed):
            steps = self.plans()[name].steps
            own = [f"training.seed={seed}", f"training.steps={steps}", "training.budget_minutes=null"]
            own += ["training.devices=1", "training.nodes=1"] if arm.untrained else []  # no step is shared by several
            verbs.pretrain(arm.recipe, arm.set, own, folder, RunFolder(folder).exists)

    def _score(self, name: str, seed: int, verbs: Verbs) -> dict[str, Exception]:
        """Score a training by every task that is missing; return what could not be scored, by the task's name."""
        errors: dict[str, Exception] = {}
        for task in self.tasks_of(name):
            file = self._file(name, seed, task)
            if file.is_file():
                continue
            try:
                content = [one.as_dict() for one in verbs.score(self.folder(name, seed), task)]
                replace_text(file, json.dumps(content) + "\n")
            except Exception as error:  # noqa: BLE001 (of any task, whatever it is)
                errors[task.name] = error
        return errors
