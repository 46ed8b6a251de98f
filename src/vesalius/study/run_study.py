"""Training and scoring every arm of a study; what is done stays done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesalius.atomic import replace_text
from vesalius.errors import RunError
from vesalius.records.result import Result
from vesalius.study.definition import Study, StudyArm, StudyTable
from vesalius.training.run_folder import RunFolder

__all__ = ["ON_LABELS", "ON_MASKS", "Scored", "StudyRun", "Verbs"]

ON_MASKS = ("attention", "coordinates", "regions", "segment")
"""Tasks whose figures every image, or patient, has of its own, by its mask."""

ON_LABELS = ("knn", "linear", "finetune")
"""Classifiers, whose figures are of all images together."""

_ABOUT = "study.json"


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
    """

    task: str
    store: Path
    label: str = ""
    features: str = "auto"
    fraction: float = 1.0
    draws: int = 3

    @property
    def name(self) -> str:
        """Name of its file of results."""
        features = "" if self.features == "auto" else self.features
        fraction = "" if self.fraction == 1.0 else f"{self.fraction:g}"
        draws = "" if self.draws == 3 else f"{self.draws}-draws"
        words = (self.task, self.store.name, self.label.replace(",", "+"), features, fraction, draws)
        return "-".join(word for word in words if word)

    def is_of(self, table: StudyTable) -> bool:
        """Say whether the table shows it."""
        asked = (table.task, table.features, table.fraction, table.draws)
        same = (self.task, self.features, self.fraction, self.draws) == asked
        return same and (not self.label or table.shows(self.label))


@dataclass(frozen=True, slots=True)
class Verbs:
    """What a study does with each arm; the pipeline's own verbs, their further options filled in.

    Attributes:
        pretrain: (recipe, overrides, seed, out, resume) -> None.
        score: (run, task) -> results.
    """

    pretrain: Callable[[str, Sequence[str], int, Path, bool], Any]
    score: Callable[[Path, Scored], Sequence[Result]]


@dataclass(frozen=True, slots=True)
class StudyRun:
    """A study in its folder: `runs/<arm>-seed<n>`, `results/<arm>-seed<n>/<task>-<store>[-<label>].json`.

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

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Write down what makes arms comparable; a folder begun under other settings is refused.

        Raises:
            RunError: The folder holds a study of other data or another budget, an arm of the same name that is defined
                otherwise, or other files.
        """
        file = self.out / _ABOUT
        told = {"about": self.study.about, **settings}
        if self.study.finetune:
            told["finetune"] = list(self.study.finetune)
        arms = {name: {"recipe": arm.recipe, "set": list(arm.set)} for name, arm in self.study.arms.items()}
        if file.is_file():
            there = json.loads(file.read_text(encoding="utf-8"))
            known = there.pop("arms", {})
            differing = sorted(key for key in {*told, *there} if told.get(key) != there.get(key))
            differing += [f"arm '{name}'" for name, arm in arms.items() if known.get(name, arm) != arm]
            if differing:
                raise RunError(
                    f"{self.out}: holds a study with other {', '.join(differing)}; arms of different settings cannot "
                    "be compared: name another folder"
                )
            arms = known | arms
        elif self.out.is_dir() and any(self.out.iterdir()):
            raise RunError(f"{self.out}: holds other files; name an empty or a new folder for the study")
        replace_text(file, json.dumps(told | {"arms": arms}, indent=2) + "\n")

    def run(self, verbs: Verbs, say: Callable[[str], None]) -> None:
        """Train whatever is not done yet, and score every arm by what the tables show of it."""
        planned = [(name, arm, seed) for seed in range(self.seeds) for name, arm in self.study.arms.items()]
        for number, (name, arm, seed) in enumerate(planned, 1):
            say(f"{number} of {len(planned)}: {arm.title}, seed {seed}")
            folder = self.folder(name, seed)
            self._train(arm, folder, seed, verbs)
            tables = [table for table in self.study.tables.values() if name in table.arms]
            for task in (one for one in self.tasks if any(one.is_of(table) for table in tables)):
                file = self._file(name, seed, task)
                if not file.is_file():
                    content = [one.as_dict() for one in verbs.score(folder, task)]
                    replace_text(file, json.dumps(content) + "\n")

    def folder(self, arm: str, seed: int) -> Path:
        """Return the run folder of an arm."""
        return self.out / "runs" / f"{arm}-seed{seed}"

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

    def _train(self, arm: StudyArm, folder: Path, seed: int, verbs: Verbs) -> None:
        run = RunFolder(folder)
        if run.exists and run.state()["status"] == "done":
            return
        verbs.pretrain(arm.recipe, arm.set, seed, folder, run.exists)
