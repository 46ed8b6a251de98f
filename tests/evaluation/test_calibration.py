"""Calibration against torchmetrics and scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from vesalius.evaluation.calibration import BINS, calibration_of


def test_binary() -> None:
    generator = np.random.default_rng(0)
    yes = generator.random(500)
    labels = (generator.random(500) < yes**2).astype(np.int64)
    found = calibration_of(labels, np.stack([1 - yes, yes], axis=1), kind="binary")
    theirs = binary_calibration_error(torch.from_numpy(yes), torch.from_numpy(labels), n_bins=BINS, norm="l1")
    assert found.ece == pytest.approx(float(theirs), abs=1e-6)
    assert found.brier == pytest.approx(brier_score_loss(labels, yes))
    assert sum(found.images) == 500
    assert np.average(found.observed, weights=found.images) == pytest.approx(labels.mean())


@pytest.mark.parametrize("kind", ["multiclass", "ordinal"])
def test_several_classes(kind: str) -> None:
    generator = np.random.default_rng(1)
    scores = generator.dirichlet([0.6, 0.8, 1.2], size=400)
    labels = generator.integers(0, 3, 400)
    found = calibration_of(labels, scores, kind=kind)
    theirs = multiclass_calibration_error(
        torch.from_numpy(scores), torch.from_numpy(labels), num_classes=3, n_bins=BINS, norm="l1"
    )
    assert found.ece == pytest.approx(float(theirs), abs=1e-6)
    assert found.brier == pytest.approx(np.mean(((scores - np.eye(3)[labels]) ** 2).sum(axis=1)))
    assert min(found.predicted) >= 1 / 3


def test_labels_that_are_not_known_do_not_count() -> None:
    scores = np.array([[0.9, 0.2], [0.1, 0.4], [0.5, 1.0]])
    labels = np.array([[1.0, np.nan], [0.0, 1.0], [np.nan, 1.0]])
    found = calibration_of(labels, scores, kind="multilabel")
    assert sum(found.images) == 4
    assert found.brier == pytest.approx(np.mean([0.1**2, 0.1**2, 0.6**2, 0.0]))


def test_probabilities_that_come_true() -> None:
    yes = np.repeat([0.2, 0.8], 50)
    labels = np.concatenate([np.arange(50) < 10, np.arange(50) < 40]).astype(np.int64)
    found = calibration_of(labels, np.stack([1 - yes, yes], axis=1), kind="binary")
    assert found.ece == pytest.approx(0.0, abs=1e-12)
    assert found.observed == pytest.approx((0.2, 0.8))
