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
    trusted: int = 24,
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
        trusted: How many images the maps are measured on; 0 for none.
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
    from vesalius.progress import bar, say

    for arm in arms:
        if arm not in _ARMS:
            raise ConfigError(f"no arm '{arm}'; arms: {', '.join(_ARMS)}{nearest(arm, _ARMS)}")
    held, where = open_store(store), choose_device(device)
    models = [
        open_networks(Path(one), evaluation, arm=arm, store=held, device=where)
        for one in (run, *compare)
        for arm in arms
    ]
    asked: dict[str, Any] = {"region": region, "box": box, "pixel": pixel}
    subjects = _subjects(models[0], held, parts=parts, classes=classes, **asked)
    options = CaseOptions(
        activation=Activation(method=method, layer=layer), trusted=trusted, seed=seed, overwrite=overwrite
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
        places = {"box": None if box is None else tuple(box), "pixel": None if pixel is None else tuple(pixel)}
        how: dict[str, Any] = {"side": store.size, "region": region, **places}
        return [PartSubject(name, **how) for name in parts or about.names]
    if region != "class" or box is not None or pixel is not None:
        raise ConfigError("regions are of segmentations; a classifier is explained by its class alone")
    if len(parts) > 1:
        raise ConfigError(f"the maps of a classifier are measured by one part of the masks, got {', '.join(parts)}")
    if parts:
        mask_parts(store, parts)
    wanted = classes or ("",) if about.kind != "multilabel" else classes or about.names
    return [ClassSubject(about.label, one, parts[0] if parts else None) for one in wanted]
