"""What a study needs, looked at before hours are spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vesalius.data.knowledge_pool import open_knowledge
from vesalius.data.open_pool import Data, open_pool
from vesalius.data.region_maps import open_regions
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, nearest
from vesalius.evaluation.targets import read_targets
from vesalius.study.definition import Study
from vesalius.study.scored import ON_LABELS, ON_MASKS, Scored
from vesalius.training.leading import several
from vesalius.training.recipe import load_recipe
from vesalius.training.resolve_recipe import resolve_recipe

__all__ = ["check_arms", "planned_tasks", "stores_scored"]


def planned_tasks(
    study: Study, tasks: Sequence[str], *, masks: Sequence[Path], labels: Sequence[tuple[Path, str]]
) -> tuple[Scored, ...]:
    """Return every task on every store that it takes, for probes as the study's tables ask for them.

    Raises:
        ConfigError: An unknown task, or none that the stores given can serve.
        StoreError: A store that is not there, or has no masks.
        LabelError: A label that a store does not have.
    """
    known = (*ON_MASKS, *ON_LABELS)
    for task in tasks:
        if task not in known:
            raise ConfigError(f"no task '{task}'{nearest(task, known)}; use {', '.join(known)}")
    for store in masks:
        open_store(store).masks  # noqa: B018 (refuses a store without masks)
    for store, label in labels:
        read_targets(open_store(store), label)  # refuses what no image knows, before anything is trained
    _check_names([*masks, *(store for store, _ in labels)])
    planned = []
    for table in study.tables.values():
        if table.task in ON_MASKS and table.task in tasks:
            for store in masks:
                planned += Scored.of(table, store)
        if table.task in ON_LABELS and table.task in tasks:
            for store, label in labels:
                planned += Scored.of(table, store, label) if table.shows(label) else []
    if not planned:
        raise ConfigError(
            "the study would score nothing: give --masks STORE for attention, --label STORE=LABEL for probes"
        )
    return tuple(dict.fromkeys(planned))


def stores_scored(tasks: Sequence[Scored]) -> dict[str, list[str]]:
    """Return the fingerprints of images and masks of every store that is scored, by its name, as results carry it."""
    opened = {task.store.name: open_store(task.store) for task in tasks}
    return {name: [store.fingerprint, store.mask_fingerprint] for name, store in opened.items()}


def _check_names(stores: Sequence[Path]) -> None:
    """Results are told apart by the names of the stores' folders."""
    by_name: dict[str, Path] = {}
    for store in stores:
        if by_name.setdefault(store.name, store).resolve() != store.resolve():
            raise ConfigError(
                f"{by_name[store.name]} and {store}: two stores of one name, which a study's tables could not tell "
                "apart; rename one of the folders"
            )


def check_arms(study: Study, data: Data, overrides: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    """Open the pool, and of every arm its recipe and its knowledge maps or regions.

    Returns:
        The pool's fingerprint, and by arm the digests of the maps and regions that it learns from.

    Raises:
        ConfigError: A recipe or an assignment that is not valid, or a recipe for several processes.
        KnowledgeError: A store lacks maps or regions that an arm needs.
    """
    pool, about = open_pool(data)
    digests: dict[str, list[str]] = {}
    for name, arm in study.arms.items():
        recipe, _ = resolve_recipe(load_recipe(arm.recipe, overrides=[*arm.set, *overrides]), len(pool))
        if several(recipe) and not arm.untrained:
            raise ConfigError(
                f"{arm.title}: a study trains in one process, and the recipe asks for several (training.devices, "
                "training.nodes); set devices=1 and start the study once a device, or train the arm by `vesalius "
                "pretrain --out <study>/runs/<arm>-seed0`, where the study finds it"
            )
        if recipe.guidance is not None:
            maps = open_knowledge(pool, recipe.guidance.maps, coordinates=recipe.guidance.needs_coordinates)
            digests.setdefault(name, []).extend(maps.description()["digests"])
        regions = getattr(recipe.method, "regions", None)
        if regions is not None:
            digests.setdefault(name, []).extend(open_regions(pool, regions).description()["digests"])
    return str(about["fingerprint"]), digests
