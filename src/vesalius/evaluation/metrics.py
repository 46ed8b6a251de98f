"""Scores of predictions against labels, through scikit-learn, with a reason wherever a score is not defined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Num, Shaped
from scipy.stats import rankdata
from sklearn import metrics as sk

from vesalius.errors import ConfigError, nearest
from vesalius.evaluation.metric_names import METRICS

__all__ = [
    "METRICS",
    "RANKING",
    "binary_problems",
    "check_metrics",
    "compute_metrics",
    "default_metrics",
    "predicted_classes",
    "rank_in_folds",
]

RANKING = ("roc_auc", "pr_auc")


def default_metrics(kind: str) -> tuple[str, ...]:
    """Return the metrics that mean something for a label of this kind; kappa only where classes have an order."""
    return METRICS if kind == "ordinal" else METRICS[:-1]


def check_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names as a tuple.

    Raises:
        ConfigError: A name is not one of `METRICS`.
    """
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"unknown metric '{name}'{nearest(name, METRICS)}; known: {', '.join(METRICS)}")
    return tuple(names)


def predicted_classes(scores: Num[np.ndarray, "images classes"]) -> Shaped[np.ndarray, " images"]:
    """Return the class with the largest score of each image (the first of equals)."""
    return np.asarray(scores.argmax(axis=1))


def binary_problems(
    labels: Num[np.ndarray, "images ..."], scores: Num[np.ndarray, "images columns"], kind: str
) -> list[tuple[int, Shaped[np.ndarray, " known"], Shaped[np.ndarray, " known"], Shaped[np.ndarray, " known"]]]:
    """Split a task into yes/no problems: (column, rows known, is positive, score).

    Binary labels make one problem (class 1), multi-class and ordinal labels one a class (one against the rest),
    multi-label ones one a label, over the images where it is known (not NaN).
    """
    rows = np.arange(len(labels))
    if kind == "multilabel":
        known = [np.flatnonzero(~np.isnan(labels[:, column])) for column in range(labels.shape[1])]
        return [(c, k, labels[k, c] > 0.5, scores[k, c]) for c, k in enumerate(known)]
    columns = [1] if kind == "binary" else range(scores.shape[1])
    return [(column, rows, labels == column, scores[:, column]) for column in columns]


def rank_in_folds(
    scores: Num[np.ndarray, "images columns"], folds: Int[np.ndarray, " images"] | None
) -> Num[np.ndarray, "images columns"]:
    """Return what ranking metrics order images by: under folds, a score's rank among those of its own fold, in (0, 1).

    Every fold has a classifier of its own; the scores of one say nothing of its order to another's, and ranked together
    they let offsets between folds into the figure (Forman and Scholz 2010). One fold keeps its scores.
    """
    if folds is None or len(np.unique(folds)) < 2:
        return scores
    ranks = np.empty(scores.shape, dtype=np.float64)
    for fold in np.unique(folds):
        own = folds == fold
        ranks[own] = (rankdata(scores[own], axis=0) - 0.5) / own.sum()
    return ranks


def compute_metrics(
    labels: Num[np.ndarray, "images ..."],
    scores: Num[np.ndarray, "images columns"],
    *,
    kind: str,
    metrics: Sequence[str],
    names: Sequence[str] = (),
    folds: Int[np.ndarray, " images"] | None = None,
) -> tuple[dict[str, float], list[str]]:
    """Score predictions.

    Multi-class ranking metrics are macro averages of one-against-the-rest; multi-label metrics are means over labels.
    Columns that are not defined (no positive or no negative image) are left out of the mean and named.

    Args:
        labels: Class index of each image, or 0/1/NaN a label for `multilabel`.
        scores: Class probabilities (two columns for `binary`), or one probability a label.
        kind: `binary`, `multiclass`, `ordinal` or `multilabel`.
        metrics: Which of `METRICS`.
        names: Names of the columns, for the reasons.
        folds: Which classifier each image was scored by, see `rank_in_folds`.

    Returns:
        Metric name to value (NaN where undefined), and the reasons why something is undefined or left out.
    """
    check_metrics(metrics)
    title = [str(name) for name in names] or [str(column) for column in range(scores.shape[1])]
    defined, reasons = [], []
    ordered = rank_in_folds(scores, folds)
    for column, known, positive, score in binary_problems(labels, scores, kind):
        if positive.all() or not positive.any():
            missing = "negative" if positive.any() else "positive"
            reasons.append(f"'{title[column]}' has no {missing} image among the {len(positive)} scored")
        else:
            defined.append((positive, score, ordered[known, column]))
    values = {}
    for metric in metrics:
        if not defined:
            values[metric] = float("nan")
        elif metric in RANKING:
            one = sk.roc_auc_score if metric == "roc_auc" else sk.average_precision_score
            values[metric] = float(np.mean([one(positive, order) for positive, _, order in defined]))
        elif kind == "multilabel":
            values[metric] = float(np.mean([_decision(metric, p, s > 0.5, 2) for p, s, _ in defined]))
        else:
            values[metric] = _decision(metric, labels, predicted_classes(scores), scores.shape[1])
    return values, reasons


def _decision(metric: str, truth: Any, guess: Any, classes: int) -> float:
    """Score decided classes; recall is averaged over the classes that occur among the labels."""
    truth, guess = truth.astype(int), guess.astype(int)
    if metric == "accuracy":
        return float(sk.accuracy_score(truth, guess))
    if metric == "quadratic_kappa":
        return float(sk.cohen_kappa_score(truth, guess, labels=np.arange(classes), weights="quadratic"))
    present = np.unique(truth)
    return float(sk.recall_score(truth, guess, labels=present, average="macro", zero_division=0.0))
