"""Linear probe by L2-regularised logistic regression on standardised frozen features.

The strength of the regularisation is chosen on a logarithmic grid by cross-validation inside the training side, whole
patients in one fold, by the log-loss of the held-out images; the test side is never looked at. This is the "L2 path"
of linear evaluation; DINO's own 100-epoch SGD head is `sgd_head.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from jaxtyping import Float, Int, Num, Shaped
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from vesalius.evaluation.label_amounts import deal_patients

__all__ = ["C_GRID", "logistic_scores", "standardise"]

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the L2 penalty, on standardised features."""

_MAX_ITER = 100
_TOL = 1e-3


@dataclass(frozen=True, slots=True)
class _Choice:
    """How the regularisation is chosen: values of C, ascending; folds; seed of the deal."""

    grid: tuple[float, ...]
    folds: int
    seed: int


def standardise(
    train: Num[np.ndarray, "train dim"], test: Num[np.ndarray, "test dim"]
) -> tuple[Float[np.ndarray, "train dim"], Float[np.ndarray, "test dim"]]:
    """Shift and scale both sides by the training side's mean and standard deviation; constant columns become 0."""
    train, test = np.asarray(train, dtype=np.float32), np.asarray(test, dtype=np.float32)
    mean, std = train.mean(axis=0), train.std(axis=0)
    scale = np.where(std > 1e-6 * np.abs(mean) + 1e-12, 1.0 / np.maximum(std, 1e-12), 0.0).astype(np.float32)
    return (train - mean) * scale, (test - mean) * scale


def logistic_scores(
    train_features: Num[np.ndarray, "train dim"],
    train_labels: Num[np.ndarray, "train ..."],
    train_patients: Shaped[np.ndarray, " train"],
    test_features: Num[np.ndarray, "test dim"],
    *,
    kind: str = "multiclass",
    classes: int = 2,
    grid: Sequence[float] = C_GRID,
    inner_folds: int = 3,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "test columns"], list[float]]:
    """Fit the probe and return test probabilities and the chosen C (one a label for `multilabel`).

    Args:
        train_features: Features of the training side.
        train_labels: Class index, or 0/1/NaN a label for `multilabel`.
        train_patients: Patient of each training image, for the inner folds.
        test_features: Features to classify.
        kind: `binary`, `multiclass`, `ordinal` or `multilabel`.
        classes: Number of classes (not used for `multilabel`).
        grid: Values of C tried, see `C_GRID`. Where a class has fewer than two patients no fold can be held out, and
            the middle of the grid is taken.
        inner_folds: Folds of the choice.
        seed: Of the deal of patients to folds.
    """
    train, test = _span(*standardise(train_features, test_features))
    how = _Choice(tuple(sorted(float(c) for c in grid)), inner_folds, seed)
    if kind != "multilabel":
        scores, chosen = _fit((train, train_labels.astype(int), train_patients), test, classes, how)
        return scores, [chosen]
    columns, chosen_all = [], []
    for column in range(train_labels.shape[1]):
        known = ~np.isnan(train_labels[:, column])
        target = train_labels[known, column].astype(int)
        scores, chosen = _fit((train[known], target, train_patients[known]), test, 2, how)
        columns.append(scores[:, 1])
        chosen_all.append(chosen)
    return np.stack(columns, axis=1), chosen_all


def _span(
    train: Float[np.ndarray, "train dim"], test: Float[np.ndarray, "test dim"]
) -> tuple[Float[np.ndarray, "train reduced"], Float[np.ndarray, "test reduced"]]:
    """Rotate into the span of the training images where they are fewer than the dimensions.

    The L2-regularised solution lies in that span, so the probe is the same and the fit cheaper.
    """
    if len(train) * 2 > train.shape[1]:
        return train, test
    left, values, right = np.linalg.svd(train, full_matrices=False)
    return left * values, test @ right.T


def _fit(
    side: tuple[Float[np.ndarray, "train dim"], Int[np.ndarray, " train"], Shaped[np.ndarray, " train"]],
    test: Float[np.ndarray, "test dim"],
    classes: int,
    how: _Choice,
) -> tuple[Float[np.ndarray, "test classes"], float]:
    train, labels, patients = side
    chosen = how.grid[len(how.grid) // 2]
    present = np.unique(labels)
    rarest = min((len(np.unique(patients[labels == one])) for one in present), default=0)
    folds = min(how.folds, rarest)
    if folds > 1 and len(how.grid) > 1 and len(present) > 1:
        deal = deal_patients(patients, labels, folds=folds, seed=how.seed)
        losses = sum(_held_out_losses(train, labels, deal == fold, how.grid, classes) for fold in range(folds))
        chosen = how.grid[int(np.argmin(losses))]
    return _path(train, labels, test, [chosen], classes)[0], chosen


def _held_out_losses(
    train: Float[np.ndarray, "train dim"],
    labels: Int[np.ndarray, " train"],
    held: Shaped[np.ndarray, " train"],
    grid: Sequence[float],
    classes: int,
) -> Float[np.ndarray, " grid"]:
    """Return the summed log-loss of the held-out images for each C."""
    path = _path(train[~held], labels[~held], train[held], grid, classes)
    rows = np.arange(int(held.sum()))
    return np.array([-np.log(np.clip(scores[rows, labels[held]], 1e-6, 1.0)).sum() for scores in path])


def _path(
    train: Float[np.ndarray, "train dim"],
    labels: Int[np.ndarray, " train"],
    test: Float[np.ndarray, "test dim"],
    grid: Sequence[float],
    classes: int,
) -> list[Float[np.ndarray, "test classes"]]:
    """Fit from strong to weak regularisation, each from the solution before it; return probabilities for each C."""
    present = np.unique(labels)
    if len(present) < 2:  # the one class there is, or, where no label is known, no opinion
        constant = np.zeros((len(test), classes))
        constant[:, present if len(present) else slice(None)] = 1.0 / max(1, len(present) or classes)
        return [constant] * len(grid)
    model: Any = LogisticRegression(warm_start=True, max_iter=_MAX_ITER, tol=_TOL)
    out = []
    for c in grid:
        model.set_params(C=float(c))
        with warnings.catch_warnings(), sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
            # Past 100 iterations a weakly regularised fit only grows its weights; the ranking no longer moves.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(train, labels)
        scores = np.zeros((len(test), classes))
        scores[:, model.classes_] = model.predict_proba(test)
        out.append(scores)
    return out
