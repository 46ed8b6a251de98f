"""The metrics of `metrics.py` for many weightings of the same images at once, which is what a bootstrap asks for.

Each function takes `weights[b, i]`, how often image i occurs in resample b, and equals scikit-learn's figure with that
`sample_weight` (the tests hold it against scikit-learn); only the loop over resamples is ours, because scikit-learn
sorts anew for every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from vesalius.evaluation.metrics import RANKING, binary_problems, predicted_classes, rank_in_folds

__all__ = ["resampled_average_precision", "resampled_confusion", "resampled_metrics", "resampled_roc_auc"]


def resampled_metrics(
    labels: Num[np.ndarray, "images ..."],
    scores: Num[np.ndarray, "images columns"],
    weights: Int[np.ndarray, "resamples images"],
    *,
    kind: str,
    metrics: Sequence[str],
    folds: Int[np.ndarray, " images"] | None = None,
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Return each metric for each resample; NaN where a resample leaves it undefined. `folds`: see `rank_in_folds`."""
    ordered = rank_in_folds(scores, folds)
    problems = binary_problems(labels, scores, kind)
    out = {}
    decided = [metric for metric in metrics if metric not in RANKING]
    for metric in metrics:
        if metric in RANKING:
            one = resampled_roc_auc if metric == "roc_auc" else resampled_average_precision
            columns = [one(yes, ordered[known, column], weights[:, known]) for column, known, yes, _ in problems]
            out[metric] = _mean_of_defined(columns)
    if decided and kind == "multilabel":
        tables = [
            resampled_confusion(p.astype(int), (s > 0.5).astype(int), weights[:, k], 2) for _, k, p, s in problems
        ]
        for metric in decided:
            out[metric] = _mean_of_defined([_from_confusion(metric, table) for table in tables])
    elif decided:
        table = resampled_confusion(labels.astype(int), predicted_classes(scores), weights, scores.shape[1])
        out.update({metric: _from_confusion(metric, table) for metric in decided})
    return {metric: out[metric] for metric in metrics}


def resampled_roc_auc(
    positive: Bool[np.ndarray, " images"],
    score: Num[np.ndarray, " images"],
    weights: Int[np.ndarray, "resamples images"],
) -> Float[np.ndarray, " resamples"]:
    """Return the weighted share of (positive, negative) pairs in the right order, ties counted half."""
    yes, no = np.flatnonzero(positive), np.flatnonzero(~positive)
    no = no[np.argsort(score[no], kind="stable")]
    below = np.searchsorted(score[no], score[yes], side="left")
    upto = np.searchsorted(score[no], score[yes], side="right")
    running = np.zeros((len(weights), len(no) + 1))
    np.cumsum(weights[:, no], axis=1, out=running[:, 1:])
    chosen = weights[:, yes].astype(np.float64)
    won = np.einsum("bi,bi->b", chosen, running[:, below])
    if not np.array_equal(below, upto):
        won = 0.5 * (won + np.einsum("bi,bi->b", chosen, running[:, upto]))
    pairs = chosen.sum(axis=1) * running[:, -1]
    return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


def resampled_average_precision(
    positive: Bool[np.ndarray, " images"],
    score: Num[np.ndarray, " images"],
    weights: Int[np.ndarray, "resamples images"],
) -> Float[np.ndarray, " resamples"]:
    """Return sum over thresholds of (gain in recall) x precision, images of equal score entering together."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    sorted_weights = weights[:, order]
    everyone = np.cumsum(sorted_weights, axis=1, dtype=np.float64)[:, ends]
    hits = np.cumsum(sorted_weights * positive[order], axis=1, dtype=np.float64)[:, ends]
    gains = np.diff(hits, axis=1, prepend=0.0)
    total = hits[:, -1]
    area = np.einsum("bi,bi->b", gains, hits / np.maximum(everyone, 1))
    return np.where((total > 0) & (everyone[:, -1] > total), area / np.maximum(total, 1), np.nan)


def resampled_confusion(
    truth: Int[np.ndarray, " images"],
    guess: Int[np.ndarray, " images"],
    weights: Int[np.ndarray, "resamples images"],
    classes: int,
) -> Float[np.ndarray, "resamples classes classes"]:
    """Return the weighted counts of (true class, decided class)."""
    cells, cell = np.unique(truth * classes + guess, return_inverse=True)
    member = np.zeros((len(truth), len(cells)))
    member[np.arange(len(truth)), cell] = 1.0
    table = np.zeros((len(weights), classes * classes))
    table[:, cells] = weights.astype(np.float64) @ member
    return table.reshape(len(weights), classes, classes)


def _from_confusion(
    metric: str, table: Float[np.ndarray, "resamples classes classes"]
) -> Float[np.ndarray, " resamples"]:
    total = table.sum(axis=(1, 2))
    hits = np.diagonal(table, axis1=1, axis2=2)
    true = table.sum(axis=2)
    if metric == "accuracy":
        return np.where(total > 0, hits.sum(axis=1) / np.maximum(total, 1), np.nan)
    if metric == "quadratic_kappa":
        place = np.arange(table.shape[1])
        cost = (place[:, None] - place[None, :]).astype(np.float64) ** 2
        seen = np.einsum("bij,ij->b", table, cost)
        expected = np.einsum("bi,bj,ij->b", true, table.sum(axis=1), cost) / np.maximum(total, 1)
        return np.where(expected > 0, 1.0 - seen / np.where(expected > 0, expected, 1.0), np.nan)
    recall = np.where(true > 0, hits / np.maximum(true, 1), np.nan)
    several = (true > 0).sum(axis=1) > 1
    return np.where(several, np.nansum(recall, axis=1) / np.maximum((true > 0).sum(axis=1), 1), np.nan)


def _mean_of_defined(columns: list[Shaped[np.ndarray, " resamples"]]) -> Float[np.ndarray, " resamples"]:
    stacked = np.stack(columns)
    defined = ~np.isnan(stacked)
    count = defined.sum(axis=0)
    return np.where(count > 0, np.where(defined, stacked, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
