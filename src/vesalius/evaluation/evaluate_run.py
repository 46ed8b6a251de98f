"""One task on one label for a finished run: features of every arm, scores, verdict, and the files a report reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.data.pool_record import count_seen, read_pool
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.errors import ConfigError, RunError
from vesalius.evaluation.classifier import Setup
from vesalius.evaluation.feature_kinds import choose_kind
from vesalius.evaluation.features import autocast_bf16, cached_features
from vesalius.evaluation.finetune import Finetuning, image_side
from vesalius.evaluation.gather import EvaluationTask, gather
from vesalius.evaluation.metrics import default_metrics
from vesalius.evaluation.neighbours import nearest_neighbours
from vesalius.evaluation.options import EvaluationOptions
from vesalius.evaluation.probes import Prediction, ProbeOptions, check_sides, predict_arms
from vesalius.evaluation.raw_pixels import pixel_features
from vesalius.evaluation.summary import summarise
from vesalius.evaluation.targets import check_labels
from vesalius.evaluation.untrained_twin import (
    CALIBRATION_IMAGES,
    TWIN_SEED,
    calibrate_batch_norm,
    has_batch_norm,
    random_twin,
    untrained_arms,
)
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.progress import bar, say
from vesalius.records.result import Result

__all__ = ["evaluate_run", "finetune_cost"]

_DEFAULTS = EvaluationOptions()

_Array = npt.NDArray[Any]


def evaluate_run(
    run: Path,
    store: Store,
    *,
    task: str,
    label: str,
    test_store: Store | None = None,
    options: EvaluationOptions = _DEFAULTS,
    batch_size: int = 128,
    device: str = "auto",
    cache: Path | None = None,
    keep_networks: bool = False,
    progress: bool = True,
) -> Result:
    """Score the backbone of a run beside its untrained twin, raw pixels and chance, and write the outcome.

    `knn` and `linear` leave the backbone frozen. `finetune` trains all of it, and the twin from scratch alike; each fit
    is kept, so an evaluation that was killed goes on. Raw pixels stand beside by a linear probe.

    Args:
        run: The run folder; `run/backbone` is read, `run/evaluations/...` is written.
        store: Labelled images; both sides are taken from it unless `test_store` is given.
        task: `knn`, `linear` or `finetune`.
        label: A label of the store, or several binary ones as `a,b,c`.
        test_store: Scored instead, after learning from all of `store`.
        options: What else shapes the figures.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
        cache: Where features (`features/`) and fits (`finetuned/`) are kept, the run by default; evaluations that share
            the folder share their baselines.
        keep_networks: Whether the networks of the largest amount of labels, in its first draw, stay in the run, as
            `finetuned/*.safetensors`, so that they can be explained.
        progress: Show a bar.

    Raises:
        ConfigError: Unknown task, solver, protocol, features or precision.
        RunError: The run has no backbone, or the result cannot be written.
        LabelError: The label cannot be classified.
        SplitError: Patients or images on both sides.
        EvaluationError: Features, or a loss, that are not finite.
    """
    if not (run / "backbone").is_dir():
        raise RunError(f"{run}: no backbone in it; give the folder that `vesalius pretrain --out` wrote")
    if keep_networks and task != "finetune":
        raise ConfigError(f"task {task} trains no network that could be kept; use finetune")
    job = gather(store, test_store, label, protocol=options.protocol, folds=options.folds, seed=options.seed)
    probe = _probe(task, job, options)
    check_sides(job.targets.values, job.sides, probe.label, probe.classes)  # before anything is trained
    backbone = load_backbone(run / "backbone")
    how = _How(options.image_size, batch_size, device, choose_kind(backbone, options.features), options.precision)
    twins = [random_twin(backbone, seed=TWIN_SEED + options.seed + one) for one in range(options.random_inits)]
    backbones: dict[str, list[Backbone]] = {"pretrained": [backbone], "random_init": twins}
    untrained = untrained_arms(run)
    arms: dict[str, list[_Array]] = {}
    more: dict[str, Any] = {}
    if task == "finetune":
        side, where = image_side(backbone, options.image_size), choose_device(device)
        setup = Setup(where, autocast_bf16(options.precision, where), side)
        folder, keep = (cache or run) / "finetuned", run / "finetuned" if keep_networks else None
        tuning = Finetuning(job, probe, options.finetune, setup, folder, untrained, keep)
        predictions, more = _finetune(tuning, backbones, progress=progress)
    else:
        # Fine-tuned ones learn their statistics themselves, and a branch that begins switched off trains better.
        for one in (one for arm in untrained for one in backbones[arm]):
            calibrate_batch_norm(one, job.stores[0][0], job.train_rows, image_size=how.image_size, device=device)
        arms = _extract(cache or run, job, backbones, how, progress=progress)
        predictions = _predict(arms, job, probe, progress=progress)
    result = summarise(predictions, job.targets.values, job.patients, sides=job.sides, options=probe)
    pool = read_pool(run / "pool.parquet")
    more = (
        _settings(job, how, options, backbone)
        | more
        | {
            "seen_in_pretraining": None if pool is None else count_seen(pool, *job.scored),
            "changed": options.changed(task),
            "notes": [*result.settings["notes"], *job.notes],
        }
    )
    result = replace(result, settings=result.settings | more)
    told = options.changed(task) | ({"learned_on": store.fingerprint} if test_store is not None else {})
    folder = result_folder(run, task=task, label=probe.label, fingerprint=job.stores[-1][0].fingerprint, changed=told)
    write_result(folder, result, predictions=_table(predictions, job, probe), neighbours=_neighbours(arms, job, task))
    return result


def finetune_cost(
    backbone: Backbone, store: Store, *, label: str, options: EvaluationOptions, device: str = "auto"
) -> tuple[int, Callable[[], float]]:
    """Return how many steps one network's fine-tunings have at most, and what times one, in seconds, on a copy.

    Raises:
        See `evaluate_run`.
    """
    job = gather(store, None, label, protocol=options.protocol, folds=options.folds, seed=options.seed)
    probe, where = _probe("finetune", job, options), choose_device(device)
    setup = Setup(where, autocast_bf16(options.precision, where), image_side(backbone, options.image_size))
    tuning = Finetuning(job, probe, options.finetune, setup, Path())
    return tuning.steps(("pretrained",)), partial(tuning.seconds_a_step, backbone)


@dataclass(frozen=True, slots=True)
class _How:
    """How features are computed; the names are those of `cached_features`."""

    image_size: int | None
    batch_size: int
    device: str
    kind: str
    precision: str


def _probe(task: str, job: EvaluationTask, options: EvaluationOptions) -> ProbeOptions:
    targets, select = job.targets, options.finetune.select
    if task == "finetune" and select not in default_metrics(targets.kind):
        raise ConfigError(
            f"select = {select!r}: says nothing of {targets.name}, which is {targets.kind}; use one of "
            f"{', '.join(default_metrics(targets.kind))}"
        )
    probe = ProbeOptions(
        task=task,
        label=targets.name,
        kind=targets.kind,
        classes=targets.classes,
        k=options.k,
        solver=options.solver,
        fractions=options.fractions,
        seeds=options.seeds,
        bootstrap=options.bootstrap,
        seed=options.seed,
    )
    check_labels(targets.values, kind=probe.kind, name=probe.label, classes=len(probe.classes))
    return probe


def _extract(
    cache: Path, job: EvaluationTask, backbones: dict[str, list[Backbone]], how: _How, *, progress: bool
) -> dict[str, list[_Array]]:
    arms: dict[str, list[_Array]] = {}
    total = len(job.patients) * sum(len(inits) for inits in backbones.values())
    with bar("features", total, show=progress) as advance:
        for arm, inits in backbones.items():
            arms[arm] = [
                np.concatenate(
                    [
                        cached_features(one, store, rows, folder=cache / "features", advance=advance, **asdict(how))
                        for store, rows in job.stores
                    ]
                )
                for one in inits
            ]
    arms["pixels"] = [np.concatenate([pixel_features(store, rows) for store, rows in job.stores])]
    return {arm: inits for arm, inits in arms.items() if inits}


def _finetune(
    tuning: Finetuning, backbones: dict[str, list[Backbone]], *, progress: bool
) -> tuple[list[Prediction], dict[str, Any]]:
    """Fine-tune every arm, probe raw pixels beside, and return what else shaped the figures."""
    job, steps = tuning.job, tuning.steps(tuple(backbones))
    if progress:
        seconds = tuning.seconds_a_step(backbones["pretrained"][0])
        cost = f"{steps:,} steps at most, {seconds:.2f} s each: up to {steps * seconds / 60:.0f} minutes"
        say(f"fine-tuning: {cost}; what is done stays done", show=True)
    with bar("finetune", steps, show=progress) as advance:
        predictions, fits = tuning.run(backbones, advance)
    pixels = {"pixels": [np.concatenate([pixel_features(store, rows) for store, rows in job.stores])]}
    probe = replace(tuning.probe, task="linear")
    predictions += predict_arms(pixels, job.targets.values, job.patients, sides=job.sides, options=probe)
    return predictions, tuning.description() | {
        "fits": fits,
        "pixels": "32 x 32, area averaged, linear probe of all labels, none held out",
    }


def _predict(
    arms: dict[str, list[_Array]], job: EvaluationTask, options: ProbeOptions, *, progress: bool
) -> list[Prediction]:
    whole = sum(
        len(inits) if fraction == 1.0 else options.seeds for inits in arms.values() for fraction in options.fractions
    )
    with bar(options.task, whole, show=progress) as advance:
        return predict_arms(
            arms, job.targets.values, job.patients, sides=job.sides, options=options, advance=lambda _: advance(1)
        )


def _settings(job: EvaluationTask, how: _How, options: EvaluationOptions, backbone: Backbone) -> dict[str, Any]:
    """Tell what shaped the figures, beside what the probe itself tells."""
    twin = "random weights"
    if has_batch_norm(backbone):
        images = min(len(job.train_rows), CALIBRATION_IMAGES)
        twin += f"; batch-norm statistics from {images} unlabelled training images, scales of 0 set to 1"
    return {
        "features": how.kind,
        "image_size": how.image_size or list(backbone.preprocessing.image_size),
        "resize": "the whole image, bicubic, antialiased, no crop",
        "precision": how.precision,
        "random_inits": options.random_inits,
        "untrained_twin": twin,
        "backbone": backbone.name,
        "pixels": "32 x 32, area averaged",
        "stores": [{"name": store.path.name, "fingerprint": store.fingerprint} for store, _ in job.stores],
    }


def _table(predictions: list[Prediction], job: EvaluationTask, options: ProbeOptions) -> pd.DataFrame:
    """Lay out the predictions at the largest fraction, one row an image, arm and seed."""
    test = job.sides.test
    parts = []
    for one in predictions:
        if one.fraction == options.fractions[-1]:
            part = pd.DataFrame(
                {"arm": one.arm, "fraction": one.fraction, "seed": one.seed, "image_id": job.image_ids[test]}
            )
            part["patient"], part["fold"] = job.patients[test], job.sides.test_folds
            truth = job.targets.values[test]
            for column, name in enumerate(options.classes):
                part[f"truth_{name}"] = truth[:, column] if truth.ndim == 2 else (truth == column).astype(float)
                part[f"score_{name}"] = one.scores[:, column]
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _neighbours(arms: dict[str, list[_Array]], job: EvaluationTask, task: str) -> dict[str, Any] | None:
    if task != "knn":
        return None
    train, test = job.sides.pairs[0]
    found = nearest_neighbours(arms["pretrained"][0], job.targets.values, job.targets.rows, train=train, test=test)
    where = {"store": str(job.stores[0][0].path), "query_store": str(job.stores[-1][0].path)}
    return where | found
