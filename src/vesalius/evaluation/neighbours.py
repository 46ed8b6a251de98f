"""Nearest training images of some test images, for a reader to judge by eye what the features find alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num

from vesalius.evaluation.knn import nearest_rows, unit_length

__all__ = ["nearest_neighbours"]


def nearest_neighbours(
    features: Float[np.ndarray, "images dim"],
    labels: Num[np.ndarray, "images ..."],
    rows: Int[np.ndarray, " images"],
    *,
    train: Int[np.ndarray, " train"],
    test: Int[np.ndarray, " test"],
    queries: int = 8,
    neighbours: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Pick test images, evenly over the classes, and find their most similar training images.

    Args:
        features: Features of all images.
        labels: Class index, or 0/1/NaN a label.
        rows: Store row of each image.
        train: Positions that may be neighbours; of other patients than `test`.
        test: Positions that may be queries.
        queries: How many.
        neighbours: How many each.
        seed: Of the choice.

    Returns:
        `queries` (store rows), `neighbours` (store rows, nearest first), `similarity` (cosines) and the labels of both.
    """
    generator = np.random.default_rng(seed)
    mixed = generator.permutation(test)
    key = labels[mixed] if labels.ndim == 1 else (labels[mixed] > 0.5).any(axis=1).astype(int)
    turn = np.empty(len(mixed), dtype=np.int64)
    for one in np.unique(key):
        turn[key == one] = np.arange(int((key == one).sum()))
    chosen = mixed[np.argsort(turn, kind="stable")][:queries]
    unit = unit_length(features)
    near, cosine = nearest_rows(unit[train], unit[chosen], k=neighbours)
    return {
        "queries": rows[chosen].tolist(),
        "neighbours": rows[train[near]].tolist(),
        "similarity": np.round(cosine.astype(np.float64), 4).tolist(),
        "query_labels": _plain(labels[chosen]),
        "neighbour_labels": _plain(labels[train[near]]),
    }


def _plain(labels: Num[np.ndarray, "..."]) -> Any:
    """Return lists that JSON can hold, with None for an unknown label."""
    plain = labels.astype(object)
    plain[np.isnan(labels.astype(np.float64))] = None
    return plain.tolist()
