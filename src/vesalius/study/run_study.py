"""Training and scoring every arm of a study; what is done stays done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesalius.atomic import replace_text
from vesalius.errors import RunError
from vesalius.locks import holding
from vesalius.records.result import Result
from vesalius.study.definition import Study, StudyArm, StudyTable
from vesalius.training.planning import Plan
from vesalius.training.run_folder import RunFolder

__all__ = ["ON_LABELS", "ON_MASKS", "Scored", "StudyRun", "Verbs"]

ON_MASKS = ("attention", "coordinates", "regions", "segment")
"""Tasks whose figures every image, or patient, has of its own, by its mask."""

ON_LABELS = ("knn", "linear", "finetune")
"""Classifiers, whose figures are of all images together."""

_ABOUT, _PLAN, _LOCKS, _RUNS = "study.json", "plan.json", ".locks", "runs"


@dataclass(frozen=True, slots=True)
class Scored:
    """One task on one store.

    Attributes:
        task: Of `ON_MASKS` or `ON_LABELS`.
        store: Where.
        label: To predict; empty for tasks on masks, which take all parts.
        features: Kind of frozen features of a probe.
        fraction: Share of the training labels that is learned from.
        draws: How often they are drawn.
        decoder: Of segmentation.
    """

    task: str
    store: Path
    label: str = ""
    features: str = "auto"
    fraction: float = 1.0
    draws: int = 3
    decoder: str = "linear"

    @property
    def name(self) -> str:
        """Name of its file of results."""
        features = "" if self.features == "auto" else self.features
        fraction = "" if self.fraction == 1.0 else f"{self.fraction:g}"
        draws = "" if self.draws == 3 else f"{self.draws}-draws"
        decoder = "" if self.decoder == "linear" else self.decoder
        words = (self.task, decoder, self.store.name, self.label.replace(",", "+"), features, fraction, draws)
        return "-".join(word for word in words if word)

    def is_of(self, table: StudyTable) -> bool:
        """Say whether the table shows it."""
        asked = (table.task, table.features, table.fraction, table.draws, table.decoder)
        same = (self.task, self.features, self.fraction, self.draws, self.decoder) == asked
        return same and (not self.label or table.shows(self.label))


@dataclass(frozen=True, slots=True)
class Verbs:
    """What a study does with each arm; the pipeline's own verbs, their further options filled in.

    Attributes:
        plan: (arms) -> what a training of each will take.
        pretrain: (recipe, overrides, what no override of all arms may change, out, resume) -> None.
        score: (run, task) -> results.
    """

    plan: Callable[[Sequence[StudyArm]], Sequence[Plan]]
    pretrain: Callable[[str, Sequence[str], Sequence[str], Path, bool], Any]
    score: Callable[[Path, Scored], Sequence[Result]]


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
        """Write down what makes arms comparable; a folder begun under other settings is refused.

        Args:
            settings: What all arms share.
            maps: By arm the digests of the maps and regions that it learns from: guided anew, it is another arm.
            stores: Fingerprints of the stores that are scored, by name: prepared anew, it is another store.

        Raises:
            RunError: The folder holds a study of other data or another budget, an arm or a scored store of the same
                name that is another, or other files.
        """
        file = self.out / _ABOUT
        told = {"about": self.study.about, **settings}
        if self.study.image_size is not None:
            told["image_size"] = self.study.image_size
        if self.study.finetune:
            told["finetune"] = list(self.study.finetune)
        if self.study.segment:
            told["segment"] = list(self.study.segment)
        arms: dict[str, Any] = {
            name: {"recipe": arm.recipe, "set": list(arm.set)} for name, arm in self.study.arms.items()
        }
        for name, digests in (maps or {}).items():
            arms[name]["maps"] = list(digests)
        of_stores = {store: list(digests) for store, digests in (stores or {}).items()}
        # The file itself may be half written by another process that begins the same study.
        own = (_ABOUT, _LOCKS, _RUNS)
        others = [one for one in self.out.glob("*") if not one.name.startswith(own)]
        if not file.is_file() and others:
            raise RunError(f"{self.out}: holds other files ({others[0].name}); name an empty or a new folder")
        with holding(self._lock, wait=True):
            if file.is_file():
                there = json.loads(file.read_text(encoding="utf-8"))
                known, scored = there.pop("arms", {}), there.pop("scored", {})
                differing = sorted(key for key in {*told, *there} if told.get(key) != there.get(key))
                differing += [f"arm '{name}'" for name, arm in arms.items() if known.get(name, arm) != arm]
                differing += [f"store '{name}'" for name, one in of_stores.items() if scored.get(name, one) != one]
                if differing:
                    raise RunError(
                        f"{self.out}: holds a study with other {', '.join(differing)}; arms of different settings "
                        "cannot be compared: name another folder"
                    )
                arms, of_stores = known | arms, scored | of_stores
            replace_text(file, json.dumps(told | {"arms": arms, "scored": of_stores}, indent=2) + "\n")

    def plan(self, verbs: Verbs, say: Callable[[str], None]) -> None:
        """Count every arm's steps before any is trained, and say what the study will cost; what is planned stays.

        All trainings of an arm take the same steps, whatever else the machine does meanwhile. Other processes of the
        study wait until they are counted.

        Args:
            verbs: What plans trainings.
            say: Told how far it is.
        """
        with holding(self._lock, wait=True):
            plans = self._plans()
            missing = [name for name in self.study.arms if name not in plans]
            plans |= {name: begun for name in missing if (begun := self._begun(name)) is not None}
            unknown = {name: arm for name, arm in self.study.arms.items() if name not in plans}
            if unknown:
                say("timing " + ", ".join(arm.title for arm in unknown.values()))
                plans |= zip(unknown, verbs.plan(list(unknown.values())), strict=True)
            if missing:
                content = {name: plan.as_state() for name, plan in plans.items()}
                replace_text(self.plan_file, json.dumps(content, indent=2) + "\n")
            plans = self._plans()  # what is said is what is written, to the last digit
        for name, arm in self.study.arms.items():
            plan = plans[name]
            say(f"{arm.title}: {plan.steps:,} steps of {plan.step_seconds:.3f} s, {plan.minutes:.1f} minutes")
        minutes = self.seeds * sum(plans[name].minutes for name in self.study.arms)
        say(f"{self.seeds * len(self.study.arms)} trainings, {minutes:.0f} minutes in one process, scoring not counted")

    def run(self, verbs: Verbs, say: Callable[[str], None]) -> int:
        """Train whatever is not done yet, and score every arm by what the tables show of it.

        An arm that another process of the study is at is left to it.

        Returns:
            How many were left to others.
        """
        planned = [(name, seed) for seed in range(self.seeds) for name in self.study.arms]
        left = 0
        for number, (name, seed) in enumerate(planned, 1):
            about = f"{number} of {len(planned)}: {self.study.arms[name].title}, seed {seed}"
            with holding(self.out / _LOCKS / f"{name}-seed{seed}") as free:
                say(about if free else f"{about}: with another process")
                if free:
                    self._train(name, seed, verbs)
                    self._score(name, seed, verbs)
            left += not free
        return left

    def write_tables(self, text: str) -> Path:
        """Write the tables, while no other process of the study does, and return their file."""
        file = self.out / "tables.md"
        with holding(self._lock, wait=True):
            replace_text(file, text)
        return file

    def folder(self, arm: str, seed: int) -> Path:
        """Return the run folder of an arm."""
        return self.out / _RUNS / f"{arm}-seed{seed}"

    def results(self, arm: str, task: Scored) -> dict[int, list[Result]]:
        """Return what was scored, by seed; seeds that are not done are left out."""
        files = {seed: self._file(arm, seed, task) for seed in range(self.seeds)}
        return {
            seed: [Result.from_dict(one) for one in json.loads(file.read_text(encoding="utf-8"))]
            for seed, file in files.items()
            if file.is_file()
        }

    def seeds_scored(self) -> int:
        """Return how many seeds the results go up to, of this call or an earlier one."""
        files = (self.out / "results").glob("*-seed*/*.json")
        return 1 + max((int(file.parent.name.rpartition("-seed")[2]) for file in files), default=0)

    def has_results(self, arm: str) -> bool:
        """Say whether anything was scored of an arm, by this call or an earlier one."""
        return any((self.out / "results").glob(f"{arm}-seed*/*.json"))

    def _file(self, arm: str, seed: int, task: Scored) -> Path:
        return self.out / "results" / f"{arm}-seed{seed}" / f"{task.name}.json"

    @property
    def plan_file(self) -> Path:
        """How many steps every arm takes."""
        return self.out / _PLAN

    @property
    def _lock(self) -> Path:
        """Held by the process that writes what all others read."""
        return self.out / _LOCKS / "study"

    def _plans(self) -> dict[str, Plan]:
        file = self.plan_file
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return {arm: Plan.from_state(one) for arm, one in content.items()}

    def _begun(self, name: str) -> Plan | None:
        """Return the plan of an arm's first training where it was begun without one of the study."""
        run = RunFolder(self.folder(name, 0))
        return Plan.from_state(run.state()) if run.exists else None

    def _train(self, name: str, seed: int, verbs: Verbs) -> None:
        folder, arm = self.folder(name, seed), self.study.arms[name]
        run = RunFolder(folder)
        if not (run.exists and run.state()["status"] == "done"):
            steps = self._plans()[name].steps
            own = [f"training.seed={seed}", f"training.steps={steps}", "training.budget_minutes=null"]
            verbs.pretrain(arm.recipe, arm.set, own, folder, run.exists)

    def _score(self, name: str, seed: int, verbs: Verbs) -> None:
        tables = [table for table in self.study.tables.values() if name in table.arms]
        for task in (one for one in self.tasks if any(one.is_of(table) for table in tables)):
            file = self._file(name, seed, task)
            if not file.is_file():
                content = [one.as_dict() for one in verbs.score(self.folder(name, seed), task)]
                replace_text(file, json.dumps(content) + "\n")
