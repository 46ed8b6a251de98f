"""A study whose arms are trained on every store by itself: its parts, and what stands in its joined tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vesalius.data.open_pool import named_store
from vesalius.errors import ConfigError, RunError
from vesalius.pipeline.study_work import StudyWork
from vesalius.study.about import ABOUT, about_of, all_tasks, differing
from vesalius.study.preparation import NothingScoredError, stores_scored
from vesalius.study.run_study import StudyRun

__all__ = ["joined_runs", "parts_of"]

_Say = Callable[[str], None]


def parts_of(work: StudyWork, say: _Say) -> list[StudyWork]:
    """Return the studies that it is made of: itself, or one a store where each is pretrained on by itself.

    Args:
        work: As it was asked for.
        say: Told which stores are left out, for nothing of them is scored.

    Raises:
        ConfigError: Two stores of one name, or a store that is scored and not pretrained on.
    """
    if work.study.pool == "shared":
        return [work]
    if work.objects:
        raise ConfigError("--objects: this study pretrains on what it scores, and these are no stores")
    data = [work.data] if isinstance(work.data, str | Path) else list(work.data)
    by_name = {_name_of(one): one for one in data}
    there = {named_store(one)[0].resolve() for one in data}
    if len(by_name) < len(data) or len(there) < len(data):
        raise ConfigError(
            f"--data {', '.join(map(str, data))}: two of these are one store, or have one name, which tables could "
            "not tell apart; give each store once, or rename one of the folders"
        )
    for store in (*work.masks, *(store for store, _ in work.labels)):
        if store.resolve() not in there:
            raise ConfigError(f"{store}: is scored, and this study pretrains on what it scores; give it as --data")
    if (work.out / ABOUT).is_file():
        raise RunError(f"{work.out}: holds a study whose arms share their images; name another folder")
    parts = [_part(work, name, one) for name, one in by_name.items()]
    scoring = [part for part in parts if _scores_something(part)]
    if not scoring:
        work.run()  # says what is missing
    for part in parts:
        if part not in scoring:
            say(f"{part.out.name}: nothing of it is scored; left out")
    return scoring


def _part(work: StudyWork, name: str, own: str | Path) -> StudyWork:
    """Return the study of one store."""
    store = named_store(own)[0].resolve()
    return replace(
        work,
        data=own,
        out=work.out / name,
        root=work.out,
        masks=tuple(one for one in work.masks if one.resolve() == store),
        labels=tuple(one for one in work.labels if one[0].resolve() == store),
    )


def _scores_something(work: StudyWork) -> bool:
    """Whether anything that was given is scored: a store may be one for another task than those asked for."""
    try:
        work.run()
    except NothingScoredError:
        return False
    return True


def joined_runs(work: StudyWork, parts: Sequence[StudyWork], say: _Say) -> list[StudyRun]:
    """Return the studies of all stores, those of earlier calls as well, in the order of their names.

    Args:
        work: As it was asked for.
        parts: Of this call.
        say: Told which folders are left out, and why.
    """
    found = {part.out: part.whole() for part in parts}
    for folder in work.out.iterdir():
        if folder not in found and (folder / ABOUT).is_file():
            earlier = _earlier(work, folder)
            if isinstance(earlier, str):
                say(f"{folder}: {earlier}; left out of the joined tables")
            else:
                found[folder] = earlier
    return [found[folder] for folder in sorted(found)]


def _earlier(work: StudyWork, folder: Path) -> StudyRun | str:
    """Return what an earlier call did with another store, or why it cannot stand beside those of now."""
    run = StudyRun(work.study, folder, 1, ())
    arms = tuple(arm for arm in work.study.arms if run.has_results(arm))
    if not arms:
        return "holds no results of this study's arms"
    run = replace(run, study=work.study.some(arms), seeds=run.seeds_scored(), tasks=all_tasks(folder, ()))
    other = differing(folder, about_of(run.study, work.shared(""), {}, stores_scored(run.tasks), ()))
    other = [one for one in other if one != "pool"]  # every store is one of its own
    if other:
        return f"was done with other {', '.join(other)}"
    return run if run.tasks else "its store is no longer where it was"


def _name_of(entry: str | Path) -> str:
    """Return the name of a store's folder, also of `.`; a link's own."""
    return Path(os.path.abspath(named_store(entry)[0])).name
