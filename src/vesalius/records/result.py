"""One measured score with its interval, and the task's outcome as written to disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["Result", "Score"]

_NOT_COMPARED = (
    "Whether it had further images of their patients is not known: patients cannot be compared (their pseudonyms are "
    "of other salts or data sets, or not known to agree), images only, by equal pixels."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One figure: which arm, on which amount of labels, by which metric.

    Attributes:
        arm: `pretrained`, `random_init` (same backbone, untrained) or `pixels` (raw 32 x 32 pixels) or `chance`.
        metric: `roc_auc`, `pr_auc`, `accuracy`, `balanced_accuracy`, `macro_recall`, `quadratic_kappa`.
        value: Mean over the seeds.
        low: Lower end of the 95 % interval (bootstrap over patients, seeds pooled).
        high: Upper end.
        fraction: Amount of training labels: a share of the patients in (0, 1], or a count of images.
        seeds: How many label draws (or initialisations) the value is the mean of.
        spread: Standard deviation over the seeds.
        median: Over the seeds; NaN where that is not told.
        images: How many labelled images were learned from, the mean over seeds and folds; 0 where that is not told.
    """

    arm: str
    metric: str
    value: float
    low: float
    high: float
    fraction: float = 1.0
    seeds: int = 1
    spread: float = 0.0
    images: float = 0.0
    median: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Outcome of one task on one label of one store.

    Attributes:
        task: `knn` or `linear`.
        label: The label's name.
        kind: `binary`, `multiclass`, `ordinal` or `multilabel`.
        scores: Every arm x metric x fraction.
        train_images, test_images, train_patients, test_patients: What was learned and scored on; no patients where they
            are not known.
        protocol: How the sides were made: `split` (train/test of the store), `folds` (k folds by patient),
            `other_store` (learned on one store, scored on another), or of no store, by `patients` or by `images`.
        settings: Everything that shaped the figures (k, temperature, solver, image size, seeds, features); `changed`
            holds what was asked for beside the defaults, `seen_in_pretraining` see `seen_in_words`.
        verdict: In plain words, how the pretrained arm stands to random init and to raw pixels.
    """

    task: str
    label: str
    kind: str
    scores: tuple[Score, ...]
    train_images: int
    test_images: int
    train_patients: int
    test_patients: int
    protocol: str
    settings: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""

    @property
    def of_store(self) -> bool:
        """Whether it was scored on a store, not on a folder of its own format."""
        return self.protocol not in ("patients", "images")

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """Rebuild what `as_dict` gave, after JSON: keys of a later version are passed over, null figures are NaN.

        Raises:
            KeyError, TypeError, ValueError: This is not a result.
        """
        scores = tuple(Score(**_known(Score, score)) for score in values["scores"])
        return cls(**{**_known(cls, values), "scores": scores})

    def seen_in_words(self) -> str:
        """Say how many of the scored images the pretraining had among its unlabelled ones.

        Where patients could not be compared (an older record does not say) it is not called none of them.
        """
        seen = self.settings.get("seen_in_pretraining")
        if not seen and self.task == "detect":
            return "Whether the pretraining had seen the scored images is not looked at: they are of no store."
        if not seen:
            return (
                "It is not known how many of the scored images were among the unlabelled images of the pretraining: "
                "the run keeps no record of them."
            )
        images, patients, total = int(seen["test_images"]), int(seen["test_patients"]), int(seen["of_images"])
        compared = seen.get("patients_compared", False) or patients == int(seen["of_patients"])
        open_end = "" if compared else f" {_NOT_COMPARED}"
        if images:
            were = "was" if images == 1 else "were"
            return (
                f"{images:,} of {total:,} scored images {were} among the unlabelled images of the pretraining "
                f"(their labels were not).{open_end}"
            )
        if patients:
            return (
                f"None of the {total:,} scored images was among the unlabelled images of the pretraining, but other "
                f"images of {patients:,} of their {int(seen['of_patients']):,} patients were (without labels)."
                f"{open_end}"
            )
        if not compared:
            return f"None of the {total:,} scored images was among the unlabelled images of the pretraining.{open_end}"
        return (
            f"None of the {total:,} scored images, and no other image of their patients, was among the unlabelled "
            "images of the pretraining."
        )


def _known(record: type[Score] | type[Result], values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the record's own fields; JSON knows no NaN, so a figure that is not defined was written as null."""
    names = {each.name for each in fields(record)}
    return {key: math.nan if value is None else value for key, value in values.items() if key in names}
