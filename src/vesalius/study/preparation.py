"""What a study needs, looked at before hours are spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vesalius.config import apply_overrides, build
from vesalius.data.knowledge_pool import open_knowledge
from vesalius.data.open_pool import Data, open_pool
from vesalius.data.region_maps import open_regions
from vesalius.data.store import Store, open_store
from vesalius.errors import ConfigError, LabelError, SplitError, nearest
from vesalius.evaluation.average_precision import check_installed
from vesalius.evaluation.coco_objects import read_objects
from vesalius.evaluation.detect import draw_images
from vesalius.evaluation.detection_options import DetectOptions
from vesalius.evaluation.mask_parts import check_mirrors, mask_parts
from vesalius.evaluation.metrics import default_metrics
from vesalius.evaluation.segment_options import SegmentTraining
from vesalius.evaluation.targets import read_targets
from vesalius.study.definition import Study, StudyTable
from vesalius.study.scored import ON_LABELS, ON_MASKS, ON_OBJECTS, Scored
from vesalius.training.leading import several
from vesalius.training.recipe import load_recipe
from vesalius.training.resolve_recipe import resolve_recipe

__all__ = ["NothingScoredError", "check_arms", "check_scored", "planned_tasks", "stores_scored"]

_SCORED_BY_VAL = ("pascal-voc", "cityscapes")
"""Sets whose test side has no public labels."""

_FEWEST_PATIENTS = 10
"""Scored without a warning."""


class NothingScoredError(ConfigError):
    """A study to which nothing was given that it scores."""


def planned_tasks(
    study: Study,
    tasks: Sequence[str],
    *,
    masks: Sequence[Path],
    labels: Sequence[tuple[Path, str]],
    objects: Sequence[Path] = (),
) -> tuple[Scored, ...]:
    """Return every task on every store that it takes, for probes as the study's tables ask for them.

    Raises:
        ConfigError: An unknown task, or detection where pycocotools is not installed.
        NothingScoredError: No task that what is given can serve.
        StoreError: A store that is not there, or has no masks.
        LabelError: A label that a store does not have, or parts that none of them has.
        ManifestError: A folder that is not in COCO's format.
    """
    known = (*ON_MASKS, *ON_LABELS, *ON_OBJECTS)
    for task in tasks:
        if task not in known:
            raise ConfigError(f"no task '{task}'{nearest(task, known)}; use {', '.join(known)}")
    for store in masks:
        open_store(store).masks  # noqa: B018 (refuses a store without masks)
    for store, label in labels:
        read_targets(open_store(store), label)  # refuses what no image knows, before anything is trained
    for folder in objects:
        check_installed()
        read_objects(folder)
    for table in study.tables.values():
        if study.pool == "shared" and masks and not any(_has(store, table.parts) for store in masks):
            mask_parts(open_store(masks[-1]), table.parts)  # refuses parts that no store has
    _check_names([*masks, *(store for store, _ in labels), *objects])
    planned = [
        one
        for table in study.tables.values()
        if table.task in tasks
        for one in _tasks_of(table, masks=masks, labels=labels, objects=objects)
    ]
    if not planned:
        unseen = sorted({label for _, label in labels})
        told = f" (no table of these tasks and arms shows {', '.join(unseen)})" if unseen else ""
        raise NothingScoredError(
            "the study would score nothing: give --masks STORE for attention and segmentation, --label STORE=LABEL for "
            f"probes and fine-tuning{told}, --objects FOLDER for detection"
        )
    return tuple(dict.fromkeys(planned))


def check_scored(study: Study, tasks: Sequence[Scored]) -> tuple[str, ...]:
    """Refuse stores that a task cannot be scored on, before anything is trained.

    Returns:
        A warning for each store whose own test side has so few patients that intervals over them tell little.

    Raises:
        SplitError: A table keeps to a store's own sides, and one of them has no such label or mask.
        LabelError: A detector would learn from more images than there are, or a table's metric says nothing of a label.
        EvaluationError: Masks, and no image that has one.
        ConfigError: Networks would learn from mirrored images of parts that are the patient's left and right.
    """
    networks = build(SegmentTraining, apply_overrides({}, study.segment), source="segment")
    warnings: dict[Path, str] = {}
    for task in tasks:
        if task.task in ON_LABELS:
            _check_metrics(study, task)
        if task.task == "segment" and task.decoder != "linear":
            check_mirrors(mask_parts(open_store(task.store), task.parts)[0], networks)
        if task.task in ON_OBJECTS:
            draw_images(read_objects(task.store), DetectOptions(fractions=(task.fraction,)))
        if task.protocol != "split":
            continue
        store = open_store(task.store)
        table = store.manifest
        rows = read_targets(store, task.label).rows if task.label else np.flatnonzero(table["has_masks"])
        test = (table["split"].iloc[rows] == "test").to_numpy()
        if test.all() or not test.any():
            side, what = ("training" if test.any() else "test"), (f"label '{task.label}'" if task.label else "masks")
            raise SplitError(
                f"{store.path}: no image of the {side} side has {what}, and the study keeps to the store's own sides; "
                f"prepare it with {_with_sides(store)}"
            )
        patients = table["patient"].iloc[rows][test].nunique()
        if patients < _FEWEST_PATIENTS:
            count = f"{patients} patient{'' if patients == 1 else 's'}"
            warnings[task.store] = (
                f"{store.path.name}: {count} on the test side, and intervals over so few tell little; prepare it with "
                "more patients there"
            )
    return tuple(warnings.values())


def _with_sides(store: Store) -> str:
    """Return the option that gives a store both sides."""
    val = store.info["source"]["dataset"] in _SCORED_BY_VAL and len(store.rows(split="val"))
    return "--option score=val: papers score that side of this set" if val else "--split patient"


def _check_metrics(study: Study, task: Scored) -> None:
    """Refuse a table whose metric is not computed for a label's kind.

    Raises:
        LabelError: So it is.
    """
    kind = read_targets(open_store(task.store), task.label).kind
    for name, table in study.tables.items():
        if task.is_of(table) and table.metric not in default_metrics(kind):
            raise LabelError(
                f"{task.store}: table {name} shows {table.metric}, which says nothing of label '{task.label}' of kind "
                f"{kind}; use one of {', '.join(default_metrics(kind))}, or keep the table to others (labels: [...])"
            )


def _tasks_of(
    table: StudyTable, *, masks: Sequence[Path], labels: Sequence[tuple[Path, str]], objects: Sequence[Path]
) -> list[Scored]:
    """Return what one table asks for of all that is given."""
    if table.task in ON_LABELS:
        return [one for store, label in labels if table.shows(label) for one in Scored.of(table, store, label)]
    given = [store for store in masks if _has(store, table.parts)] if table.task in ON_MASKS else objects
    return [one for store in given for one in Scored.of(table, store)]


def _has(store: Path, parts: Sequence[str]) -> bool:
    """Whether a store's masks have all these parts."""
    return not parts or set(parts) <= set(mask_parts(open_store(store), ())[0])


def stores_scored(tasks: Sequence[Scored]) -> dict[str, list[str]]:
    """Return the fingerprints of every store that is scored, by its name, as results carry it."""
    by_name = {task.store.name: task for task in tasks}
    return {name: task.fingerprints for name, task in by_name.items()}


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
