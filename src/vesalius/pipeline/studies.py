"""From a question to the tables that answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.errors import ConfigError, RunError

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.data.open_pool import Data
    from vesalius.pipeline.study_work import StudyWork
    from vesalius.study.run_study import Outcome, StudyRun

__all__ = ["study"]


def study(
    name: str | Path,
    *,
    data: Data = (),
    out: str | Path,
    masks: Sequence[str | Path] = (),
    labels: Sequence[tuple[str | Path, str]] = (),
    objects: Sequence[str | Path] = (),
    tasks: Sequence[str] = (),
    arms: Sequence[str] = (),
    seeds: int | None = None,
    overrides: Sequence[str] = (),
    budget_minutes: float | None = None,
    engine: str = "local",
    jobs: int = 1,
    plan_only: bool = False,
    console: Console | None = None,
) -> Path:
    """Train every arm of a study at equal budget, score them all, and write the tables; what is done stays done.

    An arm that fails is told, or a task of it that cannot be scored, and the others go on. Several processes may be
    given the same study: each takes what no other is at.

    Args:
        name: Shipped study (`medino`) or YAML file.
        data: Unlabelled stores to pretrain on, as for `pretrain`; with the knowledge maps that the arms name. A study
            whose `pool` is `own` trains its arms on each by itself. Of this, of masks, labels, objects and seeds, what
            is not given is as the study's file says.
        out: Folder of the study; the same command again goes on with it, and a further arm joins those there.
        masks: Stores whose masks attention, regions and segmentation are scored by.
        labels: (store, label) pairs for the probes and fine-tuning.
        objects: Folders in COCO's format that detection is scored on.
        tasks: Of `attention`, `coordinates`, `regions`, `segment`, `detect`, `knn`, `linear`, `finetune`; by default
            all that the tables show.
        arms: Which; by default all.
        seeds: Trainings an arm; one where nothing says more.
        overrides: Assignments for every arm, after its own, as in `training.epochs=10`.
        budget_minutes: Minutes for every arm instead of the recipes' epochs.
        engine: `local`, `ray` or `dask`, see `vesalius.data.engines.check_engine`.
        jobs: Arms at a time; each with its share of the cores, and of the GPUs where there are several.
        plan_only: Count the steps of every arm, say what they cost, and stop.
        console: Where to speak; standard output by default.

    Returns:
        The file of tables, which others stand beside, see `vesalius.study.write_study`; of the plan with `plan_only`
        (the first store's).

    Raises:
        ConfigError: No such study, arm, task or engine, or nothing to pretrain on.
        KnowledgeError: A store lacks maps that an arm needs; found before anything is trained.
        RunError: The folder holds a study of other data or another budget, or scored another store of the same name;
            or arms failed, told when the others are done and the tables are written.
    """
    from rich.console import Console

    from vesalius.pipeline.study_work import StudyWork, check_jobs
    from vesalius.study.definition import load_study

    console = console or Console()
    check_jobs(engine, jobs)
    here = engine == "local"
    place: Callable[[str | Path], Path] = Path if here else _whole_path
    definition = load_study(name)
    stores = data or definition.data
    if not stores:
        raise ConfigError(f"{name}: nothing to pretrain on; give --data STORE, or data: [STORE] in the study's file")
    work = StudyWork(
        study=definition,
        data=stores if here else _whole_paths(stores),
        out=place(out),
        masks=tuple(place(store) for store in masks or definition.masks),
        labels=tuple((place(store), label) for store, label in labels or definition.labelled),
        objects=tuple(place(folder) for folder in objects or definition.objects),
        tasks=tuple(tasks),
        arms=tuple(arms),
        seeds=definition.seeds if seeds is None else seeds,
        overrides=tuple(overrides),
        budget_minutes=budget_minutes,
        threads=_share_of_cores(jobs) if here else None,
    )

    return _done(work, engine=engine, jobs=jobs, plan_only=plan_only, console=console)


def _done(work: StudyWork, *, engine: str, jobs: int, plan_only: bool, console: Console) -> Path:
    """Do the study, store by store where each is one of its own, and return the file of its tables or plan."""
    from vesalius.pipeline.study_parts import joined_runs, parts_of
    from vesalius.study.write_study import write_joined, write_study

    say, own = _speaker(console), work.study.pool == "own"
    parts = parts_of(work, say)
    runs = []
    for part in parts:
        if own:
            say(f"{part.out.name}:")
        runs.append(part.begin(say, jobs))
    found: list[tuple[StudyRun, Outcome]] = []
    files = []
    for part, run in zip(parts, runs, strict=True):
        if not plan_only:
            found += [(run, one) for one in _train(part, run, engine=engine, jobs=jobs, console=console)]
        found += [(run, one) for one in run.left_out()]
        files.append(run.plan_file if plan_only else write_study(part.whole()))
    left = sum(one.state == "elsewhere" for _, one in found)
    if left:
        say(f"left to other processes: {left}; the tables lack what those have not done")
    file = files[0]
    if own and not plan_only:
        file = write_joined(lambda: joined_runs(work, parts, say), work.out)
    _tell_failed(work.out, file, found)
    return file


def _speaker(console: Console) -> Callable[[str], None]:
    return partial(console.print, highlight=False, markup=False)


def _train(part: StudyWork, run: StudyRun, *, engine: str, jobs: int, console: Console) -> list[Outcome]:
    """Train and score every arm of one study, in this process or in several."""
    say = _speaker(console)
    if part.study.pool == "own":
        say(f"{run.out.name}:")
    if engine == "local" and jobs == 1:
        return part.one_by_one(run, console, say)
    return part.together(run, engine=engine, jobs=jobs, say=say)


def _tell_failed(out: Path, file: Path, found: Sequence[tuple[StudyRun, Outcome]]) -> None:
    """Say which trainings failed, now that all others are done.

    Raises:
        RunError: Some did.
    """
    lines, folder = [], ""
    for run, one in found:
        if one.state == "failed":
            store = "" if run.out == out else f"{run.out.name}, "
            folder = "" if run.out == out else "<store>/"
            lines.append(f"- {store}{run.title(one.arm, one.seed)}: {one.why}")
    if lines:
        count = f"{len(lines)} training{'s' if len(lines) > 1 else ''}"
        raise RunError(
            f"{out}: {count} failed, in whole or in the tasks named (traces in {folder}failed/); what could be done is "
            f"in {file}. The same command tries what is missing again:\n" + "\n".join(lines)
        )


def _whole_paths(data: Data) -> Data:
    """Return stores as processes elsewhere find them, their `@split` kept."""
    if isinstance(data, str | Path):
        return str(_whole_path(data))
    return [str(_whole_path(store)) for store in data]


def _whole_path(path: str | Path) -> Path:
    return Path(path).resolve()


def _share_of_cores(jobs: int) -> int | None:
    """Return the threads that each of several processes may take."""
    import torch

    return None if jobs == 1 else max(1, torch.get_num_threads() // jobs)
