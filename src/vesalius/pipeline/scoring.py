"""From a run to scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.pipeline.stores import open_store

if TYPE_CHECKING:
    from vesalius.records.result import Result

__all__ = [
    "evaluate",
    "evaluate_attention",
    "evaluate_coordinates",
    "evaluate_detect",
    "evaluate_regions",
    "evaluate_segment",
]


def evaluate(
    run: str | Path,
    *,
    data: str | Path,
    task: str,
    label: str,
    test_data: str | Path | None = None,
    protocol: str = "auto",
    folds: int = 5,
    k: int = 20,
    fractions: Sequence[float] | None = None,
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
    search: str = "",
    overrides: Sequence[str] = (),
    cache: str | Path | None = None,
    keep_networks: bool = False,
    progress: bool = True,
) -> Result:
    """Score a run's backbone, frozen or fine-tuned, beside its untrained twin, raw pixels and chance.

    `data` is a labelled store; `test_data` another one that is scored instead of the first one's test side. `fractions`
    are shares of the training labels, by default 1, 5, 10 and 100 % for probes and all for `finetune`. That task alone
    takes `search` (`lr`), `overrides` (`optimizer=sgd`), see `vesalius.evaluation.finetune_options`, and
    `keep_networks`, which leaves what was trained in the run for `explain`. See
    `vesalius.evaluation.options.EvaluationOptions` for what shapes the figures, `evaluate_run` for the rest.

    Raises:
        ConfigError: An option that does not exist, or is not of this task; see `evaluate_run` for other errors.
    """
    from vesalius.config import apply_overrides, build
    from vesalius.errors import ConfigError
    from vesalius.evaluation.evaluate_run import evaluate_run
    from vesalius.evaluation.finetune_options import FinetuneOptions
    from vesalius.evaluation.options import FRACTIONS, EvaluationOptions

    if task != "finetune" and (search or overrides):
        raise ConfigError(f"task '{task}' has no such options: search and overrides belong to task 'finetune'")
    content = apply_overrides({"search": search}, overrides)
    options = EvaluationOptions(
        protocol=protocol,
        folds=folds,
        k=k,
        fractions=tuple(fractions or ((1.0,) if task == "finetune" else FRACTIONS)),
        seeds=seeds,
        random_inits=random_inits,
        features=features,
        solver=solver,
        image_size=image_size,
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        finetune=build(FinetuneOptions, content, source="finetune"),
    )
    scored = None if test_data is None else open_store(test_data)
    where: dict[str, Any] = {"batch_size": batch_size, "device": device, "progress": progress}
    where |= {"cache": None if cache is None else Path(cache), "keep_networks": keep_networks}
    return evaluate_run(
        Path(run), open_store(data), task=task, label=label, test_store=scored, options=options, **where
    )


def evaluate_attention(
    run: str | Path,
    *,
    data: str | Path,
    parts: Sequence[str] = (),
    maps: str | Path | None = None,
    image_size: int | None = None,
    upsampling: str = "bilinear",
    batch_size: int = 64,
    device: str = "auto",
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Result, ...]:
    """Score where a run's backbone looks against the masks of a store, one result a part.

    `maps` names knowledge maps of this store, whose parts are then scored beside; the rest is explained at
    `vesalius.evaluation.attention`.
    """
    from vesalius.data.knowledge_maps import find_maps
    from vesalius.evaluation.attention import AttentionOptions
    from vesalius.evaluation.attention import evaluate_attention as score
    from vesalius.progress import bar

    store = open_store(data)
    options = AttentionOptions(
        image_size=image_size, upsampling=upsampling, precision=precision, bootstrap=bootstrap, seed=seed
    )
    given = None if maps is None else find_maps(store, maps)
    where: dict[str, Any] = {"batch_size": batch_size, "device": device}
    with bar("attention", 2 * len(store), show=progress) as advance:
        return score(Path(run), store, parts=parts, maps=given, options=options, advance=advance, **where)


def evaluate_coordinates(
    run: str | Path,
    *,
    data: str | Path,
    parts: Sequence[str] = (),
    maps: str | Path | None = None,
    image_size: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Result, ...]:
    """Score what a run's patches say of their place in the template: one result a part, with maps one of the places.

    The rest is explained at `vesalius.evaluation.coordinates`.
    """
    from vesalius.data.knowledge_maps import find_maps
    from vesalius.evaluation.coordinates import CoordinateOptions
    from vesalius.evaluation.coordinates import evaluate_coordinates as score
    from vesalius.progress import bar

    store = open_store(data)
    options = CoordinateOptions(image_size=image_size, precision=precision, bootstrap=bootstrap, seed=seed)
    given = None if maps is None else find_maps(store, maps)
    with bar("coordinates", len(store), show=progress) as advance:
        return score(
            Path(run),
            store,
            parts=parts,
            maps=given,
            options=options,
            advance=advance,
            batch_size=batch_size,
            device=device,
        )


def evaluate_regions(
    run: str | Path,
    *,
    data: str | Path,
    parts: Sequence[str] = (),
    prior: str = "slic",
    clusters: int = 8,
    stage: int = -2,
    image_size: int | None = None,
    batch_size: int = 32,
    device: str = "auto",
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Result, ...]:
    """Score how well regions joined by a run's features cover the masks of a store, one result a part.

    The rest is explained at `vesalius.evaluation.regions`.
    """
    from vesalius.evaluation.regions import RegionOptions
    from vesalius.evaluation.regions import evaluate_regions as score
    from vesalius.progress import bar

    store = open_store(data)
    options = RegionOptions(
        prior=prior,
        clusters=clusters,
        stage=stage,
        image_size=image_size,
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
    )
    with bar("regions", len(store), show=progress) as advance:
        return score(
            Path(run), store, parts=parts, options=options, batch_size=batch_size, device=device, advance=advance
        )


def evaluate_detect(
    run: str | Path,
    *,
    data: str | Path,
    fractions: Sequence[float] = (1.0,),
    seeds: int = 1,
    precision: str = "auto",
    bootstrap: int = 200,
    seed: int = 0,
    device: str = "auto",
    overrides: Sequence[str] = (),
    cache: str | Path | None = None,
    progress: bool = True,
) -> Result:
    """Train Mask R-CNN on a run's backbone and on its untrained twin, and score both by COCO's average precision.

    `data` is a folder in COCO's format, not a store: single objects have boxes and outlines there. `overrides`
    (`epochs=12`, `batch_size=2`, `size=320`) are of `vesalius.evaluation.detection_options.DetectTraining`. The rest is
    explained at `vesalius.evaluation.detect`.
    """
    from vesalius.config import apply_overrides, build
    from vesalius.evaluation.detect import evaluate_detect as score
    from vesalius.evaluation.detection_options import DetectOptions, DetectTraining

    training = build(DetectTraining, apply_overrides({}, overrides), source="detect")
    shape: dict[str, Any] = {"fractions": tuple(fractions), "seeds": seeds, "seed": seed, "bootstrap": bootstrap}
    options = DetectOptions(precision=precision, training=training, **shape)
    where = None if cache is None else Path(cache)
    return score(Path(run), Path(data), options=options, device=device, cache=where, progress=progress)


def evaluate_segment(
    run: str | Path,
    *,
    data: str | Path,
    parts: Sequence[str] = (),
    decoder: str = "linear",
    protocol: str = "auto",
    folds: int = 5,
    fractions: Sequence[float] | None = None,
    seeds: int = 3,
    random_inits: int = 1,
    image_size: int | None = None,
    batch_size: int = 32,
    device: str = "auto",
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    search: str = "",
    overrides: Sequence[str] = (),
    cache: str | Path | None = None,
    keep_networks: bool = False,
    progress: bool = True,
) -> tuple[Result, ...]:
    """Score how well a run segments the masks of a store: one result a part, and one of their mean.

    `decoder` is `linear`, one layer on frozen maps, or one that is trained with the backbone as its encoder: `fpn`,
    `unet`, `deeplabv3`, `fcn`. Those alone take `search` (`lr`), `overrides` (`loss=dice`), see
    `vesalius.evaluation.segment_options.SegmentTraining`, and `keep_networks`. The rest is explained at
    `vesalius.evaluation.segment`.
    """
    from vesalius.config import apply_overrides, build
    from vesalius.evaluation.segment import evaluate_segment as score
    from vesalius.evaluation.segment_options import SegmentOptions, SegmentTraining

    store = open_store(data)
    options = SegmentOptions(
        decoder=decoder,
        protocol=protocol,
        folds=folds,
        fractions=tuple(fractions or (1.0,)),
        seeds=seeds,
        random_inits=random_inits,
        image_size=image_size,
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        training=build(SegmentTraining, apply_overrides({"search": search}, overrides), source="segment"),
    )
    how: dict[str, Any] = {"batch_size": batch_size, "device": device, "progress": progress}
    how |= {"cache": None if cache is None else Path(cache), "keep_networks": keep_networks}
    return score(Path(run), store, parts=parts, options=options, **how)
