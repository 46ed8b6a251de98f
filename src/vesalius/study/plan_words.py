"""What a study will still cost, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vesalius.study.failures import reason
from vesalius.study.label_trainings import LabelTraining, label_minutes
from vesalius.study.run_study import StudyRun
from vesalius.study.verbs import Verbs

__all__ = ["plan_words"]


def plan_words(run: StudyRun, verbs: Verbs, jobs: int) -> list[str]:
    """Return a line an arm, and one of the whole: what is trained or scored already costs nothing more.

    Args:
        run: Its steps are counted.
        verbs: What prices trainings on labels.
        jobs: Arms at a time; arms that are timed with a share of the cores take their minutes with that share.
    """
    planned = run.plans()
    own = {name: planned[name] for name in run.study.arms if name in planned}
    lines = [
        f"{run.study.arms[name].title}: {plan.steps:,} steps of {plan.step_seconds:.3f} s, {plan.minutes:.1f} minutes"
        for name, plan in own.items()
    ]
    trainings = run.trainings()
    left = [own[name].minutes for name, seed in trainings if not run.is_trained(name, seed)]
    count = f"{len(left)} training{'' if len(left) == 1 else 's'}"
    count += f" left of {len(trainings)}" if len(left) < len(trainings) else ""
    told = f"{count}, {sum(left):.0f} minutes in one process"
    if jobs > 1:
        told += f", {_with_several(left, jobs):.0f} with {jobs} at a time"
    return [*lines, f"{told}; {_priced(run, own, verbs, jobs)}"]


def _with_several(minutes: Sequence[float], jobs: int) -> float:
    """Return when the last of them ends, each begun in its turn where one before it has ended."""
    ends = [0.0] * jobs
    for one in minutes:
        ends[ends.index(min(ends))] += one
    return max(ends)


def _priced(run: StudyRun, arms: Iterable[str], verbs: Verbs, jobs: int) -> str:
    """Say what the trainings on labels of what is not scored yet will cost, the rest of the scoring left out."""
    found: list[tuple[str, int, LabelTraining]] = []
    unknown: list[str] = []
    for name, task in [(arm, task) for arm in arms for task in run.tasks_of(arm)]:
        missing = run.seeds - len(run.results(name, task))
        try:
            one = verbs.price(run.study.arms[name], task) if missing else None
        except Exception as error:  # noqa: BLE001 (an estimate stops nothing; the arm will tell it when it is scored)
            unknown.append(f"{run.study.arms[name].title}, {task.name}: {reason(error)}")
            continue
        found += [] if one is None else [(task.name, missing, one)]
    without = f"; not told of {'; '.join(unknown)}" if unknown else ""
    if not found:
        return f"scoring not counted{without}"
    several = f" in one process, shared by {jobs}" if jobs > 1 else ""
    told = f"training steps on labels, untrained networks too, up to {label_minutes(found):.0f} more{several}"
    return f"{told}; other scoring not counted{without}"
