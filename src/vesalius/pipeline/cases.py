"""From networks that learned labels to what speaks for their answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import ConfigError, nearest
from vesalius.pipeline.stores import open_store

if TYPE_CHECKING:
    from vesalius.data.store import Store
    from vesalius.evaluation.explained_subject import Subject
    from vesalius.evaluation.networks_of_run import RunNetworks

__all__ = ["explain_cases"]

_ARMS = ("pretrained", "random_init")
_REGIONS = ("class", "box", "component", "pixel")


def explain_cases(
    run: str | Path,
    evaluation: str,
    *,
    store: str | Path,
    out: str | Path | None = None,
    parts: Sequence[str] = (),
    classes: Sequence[str] = (),
    compare: Sequence[str | Path] = (),
    arms: Sequence[str] = ("pretrained",),
    method: str = "auto",
    layer: str | None = None,
    region: str = "class",
    box: Sequence[int] | None = None,
    pixel: Sequence[int] | None = None,
    trust_images: int = 24,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Explain the best, median and worst cases of an evaluation, the same ones under every model.

    The networks are those that `evaluate --keep-networks` left: each image is explained by the one that has never seen
    it, by class activation maps; of a segmentation by those of a part's logits over a region, as in SEG-Grad-CAM. How
    far the maps can be trusted is measured on images drawn at random, see `vesalius.evaluation.explanation_trust`.

    Args:
        run: The run folder.
        evaluation: A folder of `RUN/evaluations`, or `finetune` or `segment` where one evaluation of it kept networks.
        store: The store that was scored.
        out: Folder to write; by default `RUN/explanations/cases-<evaluation>`.
        parts: Of a segmentation: which are explained, by default all. Of a classifier: the part of the store's masks
            that its maps should lie in.
        classes: Of a classifier: which are explained; by default the predicted one.
        compare: Further runs, by the evaluation of the same name.
        arms: `pretrained`, `random_init`: which networks of every run.
        method: See `vesalius.evaluation.explain_one.Activation`.
        layer: Of the backbone; by default its last one with places.
        region: Of a part: `class`, `box`, `component` or `pixel`.
        box: Row and column of the first and the last pixel, in pixels of the store's images.
        pixel: Row and column.
        trust_images: How many images the maps are measured on; 0 for none.
        seed: Of their draw.
        device: `auto`, `cpu`, `cuda` or `mps`.
        overwrite: Replace what was made otherwise.
        progress: Show a bar, and say what is not to be trusted.

    Returns:
        `cases.png`; beside it `cases.csv`, `cases.npz`, `trust.csv` and `cases.json`.

    Raises:
        ConfigError, EvaluationError, RunError, StoreError: See their descriptions.
    """
    from vesalius.devices import choose_device
    from vesalius.evaluation.explain_cases import CaseOptions, cases_work
    from vesalius.evaluation.explain_cases import explain_cases as explain
    from vesalius.evaluation.explain_one import Activation
    from vesalius.evaluation.networks_of_run import open_networks
    from vesalius.interpret.run_names import run_names
    from vesalius.progress import bar, say

    for arm in arms:
        if arm not in _ARMS:
            raise ConfigError(f"no arm '{arm}'; arms: {', '.join(_ARMS)}{nearest(arm, _ARMS)}")
    held, where, runs = open_store(store), choose_device(device), [Path(one) for one in (run, *compare)]
    how: dict[str, Any] = {"store": held, "device": where}
    models = [
        open_networks(one, evaluation, name=name, arm=arm, **how)
        for one, name in zip(runs, run_names(runs), strict=True)
        for arm in dict.fromkeys(arms)
    ]
    asked: dict[str, Any] = {"region": region, "box": box, "pixel": pixel}
    subjects = _subjects(models[0], held, parts=parts, classes=classes, **asked)
    options = CaseOptions(
        activation=Activation(method=method, layer=layer), trust_images=trust_images, seed=seed, overwrite=overwrite
    )
    folder = Path(run) / "explanations" / f"cases-{evaluation}" if out is None else Path(out)
    with bar("cases", cases_work(models, subjects, options), show=progress) as advance:
        path, trust = explain(models, subjects, held, folder, options=options, advance=advance)
    for one in trust:
        if one.warning:
            say(f"warning: {one.warning}", show=progress)
    return path


def _subjects(
    models: RunNetworks,
    store: Store,
    *,
    parts: Sequence[str],
    classes: Sequence[str],
    region: str,
    box: Sequence[int] | None,
    pixel: Sequence[int] | None,
) -> list[Subject]:
    """Return what is explained of every image."""
    from vesalius.evaluation.explained_subject import ClassSubject, PartSubject
    from vesalius.evaluation.mask_parts import mask_parts

    about = models.about
    if region not in _REGIONS:
        raise ConfigError(f"no region '{region}'; regions: {', '.join(_REGIONS)}{nearest(region, _REGIONS)}")
    if about.task == "segment":
        if classes:
            raise ConfigError(
                f"classes are of classifiers; these networks segment: name parts of {', '.join(about.names)}"
            )
        _check_places(region, box, pixel, store.size)
        places = {"box": None if box is None else tuple(box), "pixel": None if pixel is None else tuple(pixel)}
        how: dict[str, Any] = {"side": store.size, "region": region, **places}
        return [PartSubject(name, **how) for name in dict.fromkeys(parts or about.names)]
    if region != "class" or box is not None or pixel is not None:
        raise ConfigError("regions are of segmentations; a classifier is explained by its class alone")
    if len(parts) > 1:
        raise ConfigError(f"the maps of a classifier are measured by one part of the masks, got {', '.join(parts)}")
    if parts:
        mask_parts(store, parts)
    wanted = dict.fromkeys(classes or (("",) if about.kind != "multilabel" else about.names))
    return [ClassSubject(about.label, one, parts[0] if parts else None) for one in wanted]


def _check_places(region: str, box: Sequence[int] | None, pixel: Sequence[int] | None, side: int) -> None:
    """Refuse places that the region does not ask for, lacks, or that lie outside."""
    takes = {"box": ("box",), "pixel": ("pixel",), "component": ("pixel",)}.get(region, ())
    for name, given in (("box", box), ("pixel", pixel)):
        if given is not None and name not in takes:
            raise ConfigError(f"{name} is not of region '{region}'; say region={name}, or leave it out")
        if given is None and name in takes and region != "component":
            raise ConfigError(f"region '{region}' needs a {name}")
        if given is not None and not all(0 <= one < side for one in given):
            raise ConfigError(f"{name} {tuple(given)}: outside the store's images of {side} x {side} pixels")
