"""Weighted k-nearest-neighbour classification of frozen features.

Paper: Caron et al. 2021 (DINO), appendix F.1, after Wu et al. 2018: cosine similarity s, each of the k nearest training
images votes for its class with exp(s / T), T = 0.07. Works for any k (also above the size of the training side, where
everybody votes), any number of test images, multi-class and multi-label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Num

from vesalius.errors import EvaluationError

__all__ = ["knn_scores", "nearest_rows", "unit_length"]


def unit_length(features: Num[np.ndarray, "images dim"]) -> Float[np.ndarray, "images dim"]:
    """Return float32 features of length 1; a zero vector stays zero and is equally far from everything."""
    wide = np.asarray(features, dtype=np.float32)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def nearest_rows(
    train: Float[np.ndarray, "train dim"], query: Float[np.ndarray, "query dim"], *, k: int
) -> tuple[Int[np.ndarray, "query k"], Float[np.ndarray, "query k"]]:
    """Return the k most similar training rows of each query, most similar first, and their cosines.

    Both inputs are of unit length; k is cut to the number of training rows.
    """
    similarity = query @ train.T
    k = min(k, len(train))
    rows = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    near = np.take_along_axis(similarity, rows, axis=1)
    order = np.argsort(-near, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(near, order, axis=1)


def knn_scores(
    train_features: Num[np.ndarray, "train dim"],
    train_labels: Num[np.ndarray, "train ..."],
    test_features: Num[np.ndarray, "test dim"],
    *,
    ks: Sequence[int] = (20,),
    temperature: float = 0.07,
    kind: str = "multiclass",
    classes: int = 2,
    chunk: int = 1024,
) -> dict[int, Float[np.ndarray, "test columns"]]:
    """Return class probabilities for each k.

    Args:
        train_features: Features of the training side.
        train_labels: Class index, or 0/1/NaN a label for `multilabel` (NaN neighbours do not vote).
        test_features: Features to classify.
        ks: Numbers of neighbours.
        temperature: T of the vote exp(cos / T).
        kind: `binary`, `multiclass`, `ordinal` or `multilabel`.
        classes: Number of classes (not used for `multilabel`).
        chunk: Test images compared at a time.

    Returns:
        k to probabilities `[test, classes]`, or `[test, labels]` for `multilabel`.

    Raises:
        EvaluationError: k or the temperature is not positive, a side is empty, or features are not finite.
    """
    if min(ks) < 1 or temperature <= 0:
        raise EvaluationError(f"k-NN needs k >= 1 and a temperature above 0; got k={list(ks)}, T={temperature}")
    if not len(train_features) or not len(test_features):
        raise EvaluationError(
            f"k-NN needs images on both sides; got {len(train_features)} to learn from, {len(test_features)} to score"
        )
    _check_finite(train_features, "training")
    _check_finite(test_features, "test")
    votes, known = _votes(train_labels, kind, classes)
    train, test = unit_length(train_features), unit_length(test_features)
    out = {k: np.empty((len(test), votes.shape[1])) for k in ks}
    for start in range(0, len(test), chunk):
        rows, near = nearest_rows(train, test[start : start + chunk], k=max(ks))
        # Subtracting the largest similarity changes no ratio and keeps exp() in range at small temperatures.
        weight = np.exp((near - near[:, :1]).astype(np.float64) / temperature)
        for k in ks:
            cut = weight[:, :k]
            gained = np.einsum("tk,tkc->tc", cut, votes[rows[:, :k]])
            cast = np.einsum("tk,tkc->tc", cut, known[rows[:, :k]])
            out[k][start : start + chunk] = np.where(cast > 0, gained / np.where(cast > 0, cast, 1.0), 0.5)
    return out


def _votes(
    labels: Num[np.ndarray, "train ..."], kind: str, classes: int
) -> tuple[Float[np.ndarray, "train columns"], Float[np.ndarray, "train columns"]]:
    """Return what each training image votes for and where it may vote."""
    if kind == "multilabel":
        known = ~np.isnan(labels)
        return np.where(known, labels, 0.0).astype(np.float64), known.astype(np.float64)
    votes = np.eye(classes)[labels.astype(int)]
    return votes, np.ones_like(votes)


def _check_finite(features: Num[np.ndarray, "images dim"], side: str) -> None:
    bad = int((~np.isfinite(features).all(axis=1)).sum())
    if bad:
        raise EvaluationError(
            f"{bad} of {len(features)} {side} images have features that are not finite; the backbone has diverged or "
            "was loaded wrongly. Check the run's loss curve, or evaluate with precision='fp32'"
        )
