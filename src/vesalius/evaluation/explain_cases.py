"""The best, worst and median cases of an evaluation explained, the same ones under every model, and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from vesalius.atomic import replacing
from vesalius.data.eight_bits import eight_bits
from vesalius.data.store import Store
from vesalius.evaluation.case_selection import Case, choose_cases
from vesalius.evaluation.explain_one import Activation, Explained, explain_one
from vesalius.evaluation.explained_subject import Subject
from vesalius.evaluation.explanation_trust import Figure, measure_trust
from vesalius.evaluation.networks_of_run import RunNetworks
from vesalius.interpret.cases_picture import CaseRow, ShownMap, cases_picture
from vesalius.interpret.explanation_record import already_made, write_record
from vesalius.interpret.part_maps import of_masks
from vesalius.interpret.pictures import save_png
from vesalius.version import __version__

__all__ = ["CaseOptions", "cases_work", "explain_cases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOptions:
    """What shapes the explanations.

    Attributes:
        activation: Which map.
        best, median, worst: How many cases of each.
        trust_images: How many images, drawn at random, explanations are measured on; 0 for none.
        seed: Of the draw, the bootstrap and shuffled weights.
        overwrite: Replace what was made otherwise.
    """

    activation: Activation = field(default_factory=Activation)
    best: int = 5
    median: int = 3
    worst: int = 5
    trust_images: int = 24
    seed: int = 0
    overwrite: bool = False


def explain_cases(
    models: Sequence[RunNetworks],
    subjects: Sequence[Subject],
    store: Store,
    out: Path,
    *,
    options: CaseOptions,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Path, tuple[Figure, ...]]:
    """Write `cases.png`, `cases.csv`, `cases.npz` and `trust.csv`.

    Cases are chosen by the mean score of the subjects under the first model (Juhasz: 5 best, 3 median, 5 worst).

    Args:
        models: The networks; those of further models must not have seen the cases either.
        subjects: What is explained of every image.
        store: Whose images.
        out: Folder to write.
        options: What else shapes it.
        advance: Told the images that were scored or explained, of `cases_work`.

    Returns:
        The picture, and how far the explanations can be trusted; nothing of that where all was made before.

    Raises:
        ConfigError: No such class, part, region, layer or method.
        EvaluationError: No image has a score.
        RunError: A model that has seen a case; a folder that holds other cases.
    """
    record, path = out / "cases.json", out / "cases.png"
    plan = _plan(models, subjects, store, options)
    if already_made(record, plan, overwrite=options.overwrite):
        return path, ()
    for model in models:  # whatever cannot be explained is told before all images are scored
        for subject in subjects:
            explain_one(model, subject, store, int(model.rows[0]), options.activation)
    scores = np.stack([subject.scores(models[0], store, advance) for subject in subjects])
    many = {"best": options.best, "median": options.median, "worst": options.worst}
    cases = choose_cases(models[0].rows, _mean(scores), **many)
    maps = []
    for case in cases:
        maps.append([[explain_one(m, s, store, case.row, options.activation) for s in subjects] for m in models])
        advance(1)
    how: dict[str, Any] = {"activation": options.activation, "images": options.trust_images, "seed": options.seed}
    trust: list[Figure] = []
    for model in models if options.trust_images else ():
        for subject in subjects:
            trust += measure_trust(model, subject, store, **how, advance=advance)
    found = _Found(store, cases, maps, [one.title for one in models], [one.name for one in subjects])
    parts = list(dict.fromkeys(one.part for one in subjects if one.part is not None))
    save_png(cases_picture(found.rows(subjects[0].score_name, parts), found.models, found.subjects), path)
    told = pd.DataFrame([asdict(one) for one in trust], columns=[one.name for one in fields(Figure)])
    made = [path.name, *found.write(out), _write_csv(told, out / "trust.csv")]
    warnings = [one.warning for one in trust if one.warning]
    write_record(record, plan, pictures=made, warnings=warnings)
    return path, tuple(trust)


def cases_work(models: Sequence[RunNetworks], subjects: Sequence[Subject], options: CaseOptions) -> int:
    """Return how many images are scored or explained in all, for a progress bar."""
    shown = options.best + options.median + options.worst
    return len(models[0].rows) * len(subjects) + shown + options.trust_images * len(models) * len(subjects)


def _mean(scores: Float[np.ndarray, "subjects images"]) -> Float[np.ndarray, " images"]:
    """Average the subjects that an image has a score of; NaN where it has none."""
    there = ~np.isnan(scores)
    mean: Float[np.ndarray, " images"] = np.nansum(scores, axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.where(there.any(axis=0), mean, np.nan)


def _plan(
    models: Sequence[RunNetworks], subjects: Sequence[Subject], store: Store, options: CaseOptions
) -> dict[str, Any]:
    return {
        "vesalius": __version__,
        "models": [{"title": one.title, "networks": list(one.files)} for one in models],
        "subjects": [asdict(one) for one in subjects],
        "store": {"name": store.path.name, "fingerprint": store.fingerprint, "masks": store.mask_fingerprint},
        "options": {key: one for key, one in asdict(options).items() if key != "overwrite"},
    }


@dataclass(frozen=True, slots=True)
class _Found:
    """The cases with their maps, by case, model and subject."""

    store: Store
    cases: Sequence[Case]
    maps: Sequence[Sequence[Sequence[Explained | None]]]
    models: Sequence[str]
    subjects: Sequence[str]

    def rows(self, score_name: str, parts: Sequence[str]) -> list[CaseRow]:
        """Lay them out for the picture, these parts of the masks outlined."""
        found = []
        for case, of_case in zip(self.cases, self.maps, strict=True):
            image = eight_bits(np.asarray(self.store.images[case.row]))
            masks = of_masks(self.store, case.row)
            truth = {} if masks is None else {name: masks.part(name) for name in parts}
            known = {name: part > 0.5 for name, part in truth.items() if part is not None}
            shown = [[_shown(one) for one in of_model] for of_model in of_case]
            found.append(CaseRow([case.kind, f"{score_name} {case.score:.2f}"], image, known, shown))
        return found

    def write(self, out: Path) -> list[str]:
        """Write a row a case, model and subject, and the maps themselves; return the names of the files."""
        table: list[dict[str, Any]] = []
        arrays: dict[str, Any] = {}
        for number, (case, of_case) in enumerate(zip(self.cases, self.maps, strict=True)):
            image = str(self.store.manifest["image_id"].iloc[case.row])
            for model, of_model in zip(self.models, of_case, strict=True):
                for subject, one in zip(self.subjects, of_model, strict=True):
                    about = {"case": number, **asdict(case), "image_id": image, "model": model, "subject": subject}
                    table.append(about | {"explained": _shown(one).words})
                    if one is not None:
                        arrays[f"case {number}, {model}, {subject}"] = one.saliency.numpy().astype(np.float32)
        with replacing(out / "cases.npz") as partial, partial.open("wb") as handle:
            np.savez(handle, **arrays)
        return ["cases.npz", _write_csv(pd.DataFrame(table), out / "cases.csv")]


def _shown(explained: Explained | None) -> ShownMap:
    if explained is None:
        return ShownMap(None, None, "nothing predicted")
    return ShownMap(explained.saliency, explained.asked.drawn, explained.asked.words)


def _write_csv(table: pd.DataFrame, path: Path) -> str:
    with replacing(path) as partial:
        table.to_csv(partial, index=False, float_format="%.5g")
    return path.name
