"""Frozen features of several arms, a label and two sides in; scores with intervals and a verdict out. Pure NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from vesalius.evaluation.probes import ProbeOptions, predict_arms
from vesalius.evaluation.protocol import Sides
from vesalius.evaluation.summary import summarise
from vesalius.evaluation.targets import check_labels
from vesalius.records.result import Result

__all__ = ["evaluate_frozen"]


def evaluate_frozen(
    features_by_arm: Mapping[str, Sequence[Num[np.ndarray, "_ _"]]],
    labels: Num[np.ndarray, "images ..."],
    patients: Shaped[np.ndarray, " images"],
    *,
    sides: Sides,
    task: str,
    kind: str,
    classes: Sequence[str] = (),
    label: str = "label",
    **options: Any,
) -> Result:
    """Score frozen features of several arms with the same sides, label draws and resamples.

    Args:
        features_by_arm: Arm to one feature array an initialisation; a `chance` arm (class shares) is always added.
        labels: Class index, or 0/1/NaN a label for `multilabel`.
        patients: Patient of each image.
        sides: What to learn from and score on.
        task: `knn` or `linear`.
        kind: Kind of the label.
        classes: Names; counted from the labels where none are given.
        label: The label's name.
        options: Further fields of `ProbeOptions`: k, ks, temperature, solver, fractions, seeds, metrics, bootstrap
            and seed.

    Raises:
        LabelError: The label cannot be classified (missing values, a single class).
        EvaluationError: Features that do not fit the labels or are not finite.
        ConfigError: Unknown task, solver or metric, or a fraction outside (0, 1].
    """
    if not classes:
        count = labels.shape[1] if labels.ndim == 2 else max(2, int(np.nanmax(labels)) + 1)
        classes = tuple(str(one) for one in range(count))
    probe = ProbeOptions(task=task, label=label, kind=kind, classes=tuple(classes), **options)
    check_labels(labels, kind=kind, name=label, classes=len(classes))
    predictions = predict_arms(features_by_arm, labels, patients, sides=sides, options=probe)
    return summarise(predictions, labels, patients, sides=sides, options=probe)
