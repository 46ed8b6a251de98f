"""From a question to the tables that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.pipeline.pretraining import plan_pretrainings, pretrain
from vesalius.pipeline.scoring import (
    evaluate,
    evaluate_attention,
    evaluate_coordinates,
    evaluate_regions,
    evaluate_segment,
)

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.data.open_pool import Data
    from vesalius.records.result import Result
    from vesalius.study.definition import StudyArm
    from vesalius.study.run_study import Scored
    from vesalius.training.planning import Plan

__all__ = ["study"]


def study(
    name: str | Path,
    *,
    data: Data,
    out: str | Path,
    masks: Sequence[str | Path] = (),
    labels: Sequence[tuple[str | Path, str]] = (),
    tasks: Sequence[str] = (),
    arms: Sequence[str] = (),
    seeds: int = 1,
    overrides: Sequence[str] = (),
    budget_minutes: float | None = None,
    plan_only: bool = False,
    console: Console | None = None,
) -> Path:
    """Train every arm of a study at equal budget, score them all, and write `tables.md`; what is done stays done.

    Several processes may be given the same study: each takes what no other is at.

    Args:
        name: Shipped study (`medino`) or YAML file.
        data: Unlabelled stores to pretrain on, as for `pretrain`; with the knowledge maps that the arms name.
        out: Folder of the study; the same command again goes on with it, and a further arm joins those there.
        masks: Stores whose masks attention and coordinates are scored by.
        labels: (store, label) pairs for the probes.
        tasks: Of `attention`, `coordinates`, `regions`, `segment`, `knn`, `linear`, `finetune`; by default all that the
            tables show.
        arms: Which; by default all.
        seeds: Trainings an arm.
        overrides: Assignments for every arm, after its own, as in `training.epochs=10`.
        budget_minutes: Minutes for every arm instead of the recipes' epochs.
        plan_only: Count the steps of every arm, say what they cost, and stop.
        console: Where to speak; standard output by default.

    Returns:
        The file of tables; of the plan with `plan_only`.

    Raises:
        ConfigError: No such study, arm or task.
        KnowledgeError: A store lacks maps that an arm needs; found before anything is trained.
        RunError: The folder holds a study of other data or another budget, or scored another store of the same name.
    """
    from rich.console import Console

    from vesalius.study.definition import load_study
    from vesalius.study.preparation import check_arms, planned_tasks, stores_scored
    from vesalius.study.run_study import ON_LABELS, StudyRun, Verbs
    from vesalius.study.tables import study_tables

    console = console or Console()
    whole = load_study(name)
    chosen = whole.some(tuple(arms))
    on: dict[str, Any] = {
        "masks": [Path(store) for store in masks],
        "labels": [(Path(store), label) for store, label in labels],
    }
    tasks = tasks or sorted({table.task for table in chosen.tables.values()})
    scored = planned_tasks(chosen, tasks, **on)
    pool, maps = check_arms(chosen, data, overrides)
    run = StudyRun(chosen, Path(out), seeds, scored)
    shared = {"pool": pool, "budget_minutes": budget_minutes, "overrides": list(overrides)}
    run.begin(shared, maps, stores_scored(scored))

    def plan(arms: Sequence[StudyArm]) -> Sequence[Plan]:
        given = [(arm.recipe, [*arm.set, *overrides]) for arm in arms]
        return plan_pretrainings(given, data=data, budget_minutes=budget_minutes)

    def train(recipe: str, changes: Sequence[str], own: Sequence[str], folder: Path, resume: bool) -> None:
        # Its own seed and steps come last: an override of the whole `training` must not make all seeds one.
        given = [] if resume else [*changes, *overrides, *own]
        pretrain(recipe, data=data, out=folder, overrides=given, resume=resume, console=console)

    def score(folder: Path, task: Scored) -> Sequence[Result]:
        how: dict[str, Any] = {"data": task.store, "image_size": chosen.image_size}
        few: dict[str, Any] = {"fractions": (task.fraction,), "seeds": task.draws, "random_inits": 1}
        few["cache"] = run.out / "cache"  # arms share the untrained network's features, fits and maps
        if task.task in ON_LABELS:
            how |= {"overrides": chosen.finetune} if task.task == "finetune" else {"features": task.features}
            return [evaluate(folder, task=task.task, label=task.label, **how, **few)]
        if task.task == "segment":
            trained = task.decoder != "linear"
            how |= {"decoder": task.decoder, "overrides": chosen.segment if trained else ()}
            return evaluate_segment(folder, **how, **few)
        if task.task == "regions":
            return evaluate_regions(folder, **how)
        verb = evaluate_attention if task.task == "attention" else evaluate_coordinates
        return verb(folder, maps=_maps_of(task.store), **how)

    def say(text: str) -> None:
        console.print(text, highlight=False)

    verbs = Verbs(plan, train, score)
    run.plan(verbs, say)
    if plan_only:
        return run.plan_file
    left = run.run(verbs, say)
    if left:
        say(f"left to other processes: {left}; the tables lack what those have not done")
    # Arms and seeds that were done by earlier calls stand in the tables as well.
    shown = whole.some(tuple(arm for arm in whole.arms if arm in chosen.arms or run.has_results(arm)))
    all_done = replace(run, study=shown, tasks=planned_tasks(shown, tasks, **on), seeds=run.seeds_scored())
    return run.write_tables(study_tables(all_done))


def _maps_of(store: Path) -> str | None:
    """Return the name of the deformable maps of a scored store, whose parts stand beside, where it has them."""
    return "deformable" if (store / "maps" / "deformable" / "maps.json").is_file() else None
