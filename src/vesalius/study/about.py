"""`study.json`: what makes the arms of a study comparable, and what was scored of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesalius.atomic import replace_text
from vesalius.errors import RunError
from vesalius.study.definition import Study
from vesalius.study.scored import Scored

__all__ = ["ABOUT", "about_of", "all_tasks", "differing", "write_about"]

ABOUT = "study.json"
_GROWING = ("arms", "scored", "tasks")
"""Keys that later calls add to."""

_WORDS = "about"
"""Of the study, which make nothing comparable."""


def about_of(
    study: Study,
    settings: Mapping[str, Any],
    maps: Mapping[str, Sequence[str]],
    stores: Mapping[str, Sequence[str]],
    tasks: Sequence[Scored],
) -> dict[str, Any]:
    """Return what is written down; the arguments are those of `StudyRun.begin`."""
    told: dict[str, Any] = {"about": study.about, **settings}
    if study.image_size is not None:
        told["image_size"] = study.image_size
    if study.finetune:
        told["finetune"] = list(study.finetune)
    for key in ("segment", "detect"):
        if getattr(study, key):
            told[key] = list(getattr(study, key))
    arms: dict[str, Any] = {
        name: {"recipe": arm.recipe, "set": list(arm.set)} | ({"untrained": True} if arm.untrained else {})
        for name, arm in study.arms.items()
    }
    for name, digests in maps.items():
        arms[name]["maps"] = list(digests)
    told["arms"] = arms
    told["scored"] = {store: list(digests) for store, digests in stores.items()}
    told["tasks"] = {one.name: one.as_state() for one in tasks}
    return told


def write_about(out: Path, about: Mapping[str, Any]) -> None:
    """Write it, joined to what earlier calls wrote.

    Raises:
        RunError: The folder holds a study of other data or another budget, or an arm or a scored store of the same name
            that is another.
    """
    file = out / ABOUT
    content = dict(about)
    if file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        other = differing(out, about)
        if other:
            raise RunError(
                f"{out}: holds a study with other {', '.join(other)}; arms of different settings cannot be "
                "compared: name another folder"
            )
        content |= {key: there.get(key, {}) | about[key] for key in _GROWING}
    replace_text(file, json.dumps(content, indent=2) + "\n")


def differing(out: Path, about: Mapping[str, Any]) -> list[str]:
    """Return what a study's folder has otherwise than it is asked for now.

    An arm without maps is compared by the rest of it.
    """
    there = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    fixed = sorted({*about, *there} - {*_GROWING, _WORDS})
    found = [key for key in fixed if about.get(key) != there.get(key)]
    if about[_WORDS] != there.get(_WORDS) and not about["arms"].keys() & there.get("arms", {}).keys():
        found.append(_WORDS)  # another study, not one that was reworded
    for key, word in (("arms", "arm"), ("scored", "store")):
        known = there.get(key, {})
        for name, one in about[key].items():
            own = known.get(name, one)
            if key == "arms" and "maps" not in one:
                own = {about: value for about, value in own.items() if about != "maps"}
            found += [f"{word} '{name}'"] if own != one else []
    return found


def all_tasks(out: Path, tasks: Sequence[Scored]) -> tuple[Scored, ...]:
    """Return the tasks of this call, and those of earlier ones whose stores are where they were."""
    there = json.loads((out / ABOUT).read_text(encoding="utf-8")).get("tasks", {})
    earlier = {name: Scored.from_state(one) for name, one in there.items()}
    kept = {name: one for name, one in earlier.items() if one.is_there}
    return tuple((kept | {one.name: one for one in tasks}).values())
