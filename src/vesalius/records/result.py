"""One measured score with its interval, and the task's outcome as written to disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Result", "Score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One figure: which arm, on which amount of labels, by which metric.

    Attributes:
        arm: `pretrained`, `random_init` (same backbone, untrained) or `pixels` (raw 32 x 32 pixels) or `chance`.
        metric: `roc_auc`, `pr_auc`, `accuracy`, `balanced_accuracy`, `macro_recall`, `quadratic_kappa`.
        value: Mean over the seeds.
        low: Lower end of the 95 % interval (bootstrap over patients, seeds pooled).
        high: Upper end.
        fraction: Share of the training labels used, (0, 1].
        seeds: How many label draws (or initialisations) the value is the mean of.
        spread: Standard deviation over the seeds.
    """

    arm: str
    metric: str
    value: float
    low: float
    high: float
    fraction: float = 1.0
    seeds: int = 1
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Outcome of one task on one label of one store.

    Attributes:
        task: `knn` or `linear`.
        label: The label's name.
        kind: `binary`, `multiclass`, `ordinal` or `multilabel`.
        scores: Every arm x metric x fraction.
        train_images, test_images, train_patients, test_patients: What was learned and scored on.
        protocol: How the sides were made: `split` (train/test of the store) or `folds` (k folds by patient).
        settings: Everything that shaped the figures (k, temperature, solver, image size, seeds, features).
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

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return asdict(self)
