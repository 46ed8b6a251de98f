"""Explained cases of a run: the picture that `vesalius explain --cases` left, and how far its maps can be trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vesalius.report.gallery import Picture, embed_file
from vesalius.report.redaction import without_folders
from vesalius.report.run_folder import Run
from vesalius.report.wording import count, figure, joined, plain_name

__all__ = ["CaseGallery", "case_galleries"]

_MEASURES = {
    "energy_inside": "share of the map inside the part",
    "pointing_game": "highest pixel inside the part",
    "average_precision": "average precision of the map's pixels",
    "deletion_area": "confidence while the map is taken away (low is good)",
    "insertion_area": "confidence while the map comes back (high is good)",
    "randomised_weights": "likeness to the map of shuffled weights (low is good)",
}
_KNOWS_NOTHING = {
    "energy_inside": "an even map",
    "pointing_game": "an even map",
    "average_precision": "an even map",
    "deletion_area": "pixels in random order",
    "insertion_area": "pixels in random order",
    "randomised_weights": "the map of another image",
}
"""Measure to the map that its baseline is of, see `vesalius.evaluation.explanation_trust`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseGallery:
    """The explained cases of one evaluation.

    Attributes:
        run: The run's name on the page.
        picture: `cases.png` with its words.
        kinds: Case to how many of it are shown: `best`, `median`, `worst`.
        worst: Scores of the worst cases, lowest first.
        metric: What the scores are, in words.
        trust: Model, part or class, measure, value, interval, of a map that knows nothing, images.
        warnings: What must not be read from the maps.
    """

    run: str
    picture: Picture
    kinds: Mapping[str, int]
    worst: tuple[float, ...]
    metric: str
    trust: tuple[tuple[str, str, str, str, str, str, str], ...]
    warnings: tuple[str, ...]


def case_galleries(run: Run) -> tuple[CaseGallery, ...]:
    """Read every `explanations/cases-*` of a run; what cannot be read is said in its caption."""
    return tuple(_gallery(run, folder) for folder in sorted(run.path.glob("explanations/cases-*")) if folder.is_dir())


def _gallery(run: Run, folder: Path) -> CaseGallery:
    words = plain_name(folder.name.removeprefix("cases-")).replace("-", " ")
    heading = f"Explained cases: {words}"
    try:
        return _read(run, folder, heading)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        lost = f"These cases could not be read ({type(error).__name__}); make them again: "
        lost += "`vesalius explain RUN --cases EVALUATION --store STORE --overwrite`."
        picture = Picture(heading=heading, source="", alt="", caption=lost)
        return CaseGallery(run=run.name, picture=picture, kinds={}, worst=(), metric="", trust=(), warnings=())


def _read(run: Run, folder: Path, heading: str) -> CaseGallery:
    about = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    cases, trust = pd.read_csv(folder / "cases.csv"), pd.read_csv(folder / "trust.csv")
    one_each = cases.drop_duplicates("case")
    kinds = {str(kind): int(number) for kind, number in one_each["kind"].value_counts(sort=False).items()}
    shown = joined([f"{number} {kind}" for kind, number in kinds.items()])
    models = joined([str(each) for each in dict.fromkeys(cases["model"])])
    what = joined([plain_name(str(each)) for each in dict.fromkeys(cases["subject"])])
    method = str(about["plan"]["options"]["activation"]["method"])
    by = "" if method == "auto" else f", by {method}"
    metric = "Dice of the parts" if folder.name.startswith("cases-segment") else "probability of the truth"
    picture = embed_file(
        folder / "cases.png",
        heading=heading,
        alt=f"Grid of {shown} cases, run {run.name}: rows are images, columns are maps of what speaks for {what}, "
        f"of {models}; bright pixels speak for it.",
        caption=f"The {shown} cases by {metric}, chosen by score and not by how the maps look; every image is "
        f"explained by a network that has never seen it{by}. Bright pixels speak for the answer; outlines are "
        "what is explained. Single cases illustrate and do not prove: the table measures the maps on images drawn at "
        "random.",
        missing="The picture of these cases is missing.",
    )
    return CaseGallery(
        run=run.name,
        picture=picture,
        kinds=kinds,
        worst=tuple(sorted(float(score) for score in one_each.loc[one_each["kind"] == "worst", "score"])),
        metric=metric,
        trust=tuple(_measure(row) for row in trust.to_dict("records")),
        warnings=tuple(without_folders(str(each)) for each in about.get("warnings") or ()),
    )


def _measure(row: Mapping[Any, Any]) -> tuple[str, str, str, str, str, str, str]:
    metric = str(row["metric"])
    beside = _KNOWS_NOTHING.get(metric, "")
    baseline = float(row["baseline"])
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    return (
        str(row["model"]),
        plain_name(str(row["subject"])),
        _MEASURES.get(metric, plain_name(metric)),
        figure(value),
        f"{figure(low)} to {figure(high)}" if math.isfinite(low) else "not defined",
        f"{figure(baseline)}{f' ({beside})' if beside else ''}",
        count(int(row["images"]), "image"),
    )
