"""One task on one label for a finished run: features of every arm, scores, verdict, and the files a report reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.data.store import Store
from vesalius.errors import LabelError, RunError
from vesalius.evaluation.features import cached_features, choose_kind
from vesalius.evaluation.neighbours import nearest_neighbours
from vesalius.evaluation.probes import FRACTIONS, Prediction, ProbeOptions, predict_arms
from vesalius.evaluation.protocol import Sides, check_stores_apart, make_sides
from vesalius.evaluation.raw_pixels import pixel_features
from vesalius.evaluation.summary import summarise
from vesalius.evaluation.targets import Targets, check_labels, read_targets
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.records.result import Result

__all__ = ["evaluate_run", "random_twin"]

# Far from the small seeds that runs are given: a twin must not start from the very weights that the run started from.
_TWIN_SEED = 1_000_003

_Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Task:
    """The labelled rows of one store, or of two laid end to end, and their sides."""

    stores: tuple[tuple[Store, _Array], ...]
    targets: Targets
    patients: _Array
    image_ids: _Array
    sides: Sides
    notes: tuple[str, ...]


def evaluate_run(
    run: Path,
    store: Store,
    *,
    task: str,
    label: str,
    test_store: Store | None = None,
    protocol: str = "auto",
    folds: int = 5,
    k: int = 20,
    fractions: tuple[float, ...] = FRACTIONS,
    seeds: int = 3,
    random_inits: int = 2,
    features: str = "auto",
    solver: str = "lbfgs",
    image_size: int | None = None,
    batch_size: int = 128,
    device: str = "auto",
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Result:
    """Score the frozen backbone of a run beside its untrained twin, raw pixels and chance, and write the outcome.

    Args:
        run: The run folder; `run/backbone` is read, `run/features` caches, `run/evaluations/...` is written.
        store: Labelled images; both sides are taken from it unless `test_store` is given.
        task: `knn` or `linear`.
        label: A label of the store, or several binary ones as `a,b,c`.
        test_store: Scored instead, after learning from all of `store`.
        protocol: `auto`, `split` or `folds`, see `vesalius.evaluation.protocol.make_sides`.
        folds: How many.
        k: Neighbours of the reported k-NN score.
        fractions: Shares of the training labels.
        seeds: Label draws at each fraction below 1.
        random_inits: Untrained twins.
        features: `auto`, `cls`, `mean` or `cls+mean`.
        solver: `lbfgs` or `sgd`.
        image_size: Side of the input; by default the size that belongs to the weights.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
        precision: `auto`, `bf16` or `fp32`.
        bootstrap: Resamples of the patients.
        seed: First seed of label draws, folds, twins and resamples.
        progress: Show a bar.

    Raises:
        RunError: The run has no backbone, or the result cannot be written.
        LabelError: The label cannot be classified.
        SplitError: Patients or images on both sides.
        EvaluationError: Features that are not finite.
    """
    if not (run / "backbone").is_dir():
        raise RunError(f"{run}: no backbone in it; give the folder that `vesalius pretrain --out` wrote")
    job = _gather(store, test_store, label, protocol=protocol, folds=folds, seed=seed)
    options = ProbeOptions(
        task=task,
        label=job.targets.name,
        kind=job.targets.kind,
        classes=job.targets.classes,
        k=k,
        solver=solver,
        fractions=fractions,
        seeds=seeds,
        bootstrap=bootstrap,
        seed=seed,
    )
    check_labels(job.targets.values, kind=options.kind, name=options.label, classes=len(options.classes))
    backbone = load_backbone(run / "backbone")
    how: dict[str, Any] = {
        "image_size": image_size,
        "batch_size": batch_size,
        "device": device,
        "kind": choose_kind(backbone, features),
        "precision": precision,
    }
    twins = [random_twin(backbone, seed=_TWIN_SEED + seed + one) for one in range(random_inits)]
    arms = _extract(run, job, {"pretrained": [backbone], "random_init": twins}, how, progress=progress)
    predictions = _predict(arms, job, options, progress=progress)
    result = summarise(predictions, job.targets.values, job.patients, sides=job.sides, options=options)
    result = _with_settings(result, job, how, random_inits, backbone)
    fingerprint = (test_store or store).fingerprint
    folder = result_folder(run, task=task, label=options.label, fingerprint=fingerprint)
    write_result(folder, result, predictions=_table(predictions, job, options), neighbours=_neighbours(arms, job, task))
    return result


def random_twin(backbone: Backbone, *, seed: int) -> Backbone:
    """Build the same architecture with random weights; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return backbone.twin().eval()


def _gather(store: Store, test_store: Store | None, label: str, *, protocol: str, folds: int, seed: int) -> _Task:
    targets = read_targets(store, label)
    known = store.manifest.iloc[targets.rows]
    patients = known["patient"].to_numpy(dtype=str)
    stores: tuple[tuple[Store, _Array], ...] = ((store, targets.rows),)
    notes = [*targets.notes]
    if test_store is None:
        split = known["split"].to_numpy(dtype=str)
        sides = make_sides(split, targets.values, patients, protocol=protocol, folds=folds, seed=seed)
    else:
        other = read_targets(test_store, label)
        if (other.kind, other.classes) != (targets.kind, targets.classes):
            raise LabelError(
                f"'{label}' means {targets.kind} {targets.classes} in {store.path} but {other.kind} {other.classes} in "
                f"{test_store.path}; prepare both with the same classes in the same order"
            )
        table = test_store.manifest.iloc[other.rows]
        columns = ("patient", "pixel_sha256")
        # Ids made with different salts never agree, so comparing them always is safe; equal pixels tell in any case.
        check_stores_apart(*({c: one[c].to_numpy(dtype=str) for c in columns} for one in (known, table)))
        first = len(targets.rows)
        values = np.concatenate([targets.values, other.values])
        sides = Sides(
            "other_store",
            ((np.arange(first), np.arange(first, len(values))),),
            f"learned on {store.path.name}, scored on {test_store.path.name}",
        )
        if _salt(store) is None or _salt(store) != _salt(test_store):
            notes.append("the stores have different salts: one patient in both would be found by equal pixels only")
        stores = (*stores, (test_store, other.rows))
        known = pd.concat([known, table])
        patients = known["patient"].to_numpy(dtype=str)
        targets = replace(targets, values=values, rows=np.concatenate([targets.rows, other.rows]))
    unknown = int((~known["patient_known"].to_numpy(dtype=bool)).sum())
    if unknown:
        notes.append(f"the patient of {unknown} images is unknown: each counts as its own")
    return _Task(stores, targets, patients, known["image_id"].to_numpy(dtype=str), sides, tuple(notes))


def _salt(store: Store) -> Any:
    return store.info.get("options", {}).get("salt_id")


def _extract(
    run: Path, job: _Task, backbones: dict[str, list[Backbone]], how: dict[str, Any], *, progress: bool
) -> dict[str, list[_Array]]:
    arms: dict[str, list[_Array]] = {}
    total = len(job.patients) * sum(len(inits) for inits in backbones.values())
    with _bar("features", total, show=progress) as advance:
        for arm, inits in backbones.items():
            arms[arm] = [
                np.concatenate(
                    [
                        cached_features(one, store, rows, folder=run / "features", advance=advance, **how)
                        for store, rows in job.stores
                    ]
                )
                for one in inits
            ]
    arms["pixels"] = [np.concatenate([pixel_features(store, rows) for store, rows in job.stores])]
    return {arm: inits for arm, inits in arms.items() if inits}


def _predict(arms: dict[str, list[_Array]], job: _Task, options: ProbeOptions, *, progress: bool) -> list[Prediction]:
    whole = sum(
        len(inits) if fraction == 1.0 else options.seeds for inits in arms.values() for fraction in options.fractions
    )
    with _bar(options.task, whole, show=progress) as advance:
        return predict_arms(
            arms, job.targets.values, job.patients, sides=job.sides, options=options, advance=lambda _: advance(1)
        )


def _with_settings(result: Result, job: _Task, how: dict[str, Any], random_inits: int, backbone: Backbone) -> Result:
    settings = result.settings | {
        "features": how["kind"],
        "image_size": how["image_size"] or list(backbone.preprocessing.image_size),
        "precision": how["precision"],
        "random_inits": random_inits,
        "backbone": backbone.name,
        "pixels": "32 x 32, area averaged",
        "stores": [{"name": store.path.name, "fingerprint": store.fingerprint} for store, _ in job.stores],
        "notes": [*result.settings["notes"], *job.notes],
    }
    return replace(result, settings=settings)


def _table(predictions: list[Prediction], job: _Task, options: ProbeOptions) -> pd.DataFrame:
    """Lay out the predictions at the largest fraction, one row an image, arm and seed."""
    test = job.sides.test
    parts = []
    for one in predictions:
        if one.fraction == options.fractions[-1]:
            part = pd.DataFrame(
                {"arm": one.arm, "fraction": one.fraction, "seed": one.seed, "image_id": job.image_ids[test]}
            )
            part["patient"] = job.patients[test]
            truth = job.targets.values[test]
            for column, name in enumerate(options.classes):
                part[f"truth_{name}"] = truth[:, column] if truth.ndim == 2 else (truth == column).astype(float)
                part[f"score_{name}"] = one.scores[:, column]
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _neighbours(arms: dict[str, list[_Array]], job: _Task, task: str) -> dict[str, Any] | None:
    if task != "knn":
        return None
    train, test = job.sides.pairs[0]
    found = nearest_neighbours(arms["pretrained"][0], job.targets.values, job.targets.rows, train=train, test=test)
    where = {"store": str(job.stores[0][0].path), "query_store": str(job.stores[-1][0].path)}
    return where | found


@contextmanager
def _bar(what: str, total: int, *, show: bool) -> Iterator[Any]:
    """Show a progress bar on standard error and give a function that advances it."""
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        one = bar.add_task(what, total=total)
        yield lambda count: bar.advance(one, count)
