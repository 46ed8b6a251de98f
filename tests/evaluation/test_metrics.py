from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from vesalius.errors import ConfigError
from vesalius.evaluation.metrics import METRICS, compute_metrics, default_metrics, rank_in_folds
from vesalius.evaluation.resampled_metrics import resampled_average_precision, resampled_metrics, resampled_roc_auc


def _binary(n: int = 200, *, ties: bool = False, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=n)
    score = 1 / (1 + np.exp(-(labels + generator.normal(size=n) - 0.5)))
    score = np.round(score, 1) if ties else score
    return labels, np.stack([1 - score, score], axis=1)


def _classes(n: int = 300, classes: int = 4, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=n)
    logits = np.eye(classes)[labels] + generator.normal(size=(n, classes))
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_binary_metrics_are_scikit_learns() -> None:
    labels, scores = _binary()
    values, reasons = compute_metrics(labels, scores, kind="binary", metrics=METRICS)
    guess = scores[:, 1] > 0.5
    assert not reasons
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, scores[:, 1]))
    assert values["pr_auc"] == pytest.approx(sk.average_precision_score(labels, scores[:, 1]))
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(labels, guess))
    assert values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, guess))
    assert values["quadratic_kappa"] == pytest.approx(sk.cohen_kappa_score(labels, guess, weights="quadratic"))


def test_multiclass_metrics_are_scikit_learns_macro_one_against_the_rest() -> None:
    labels, scores = _classes()
    values, _ = compute_metrics(labels, scores, kind="ordinal", metrics=METRICS)
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, scores, multi_class="ovr", average="macro"))
    each = [sk.average_precision_score(labels == c, scores[:, c]) for c in range(4)]
    assert values["pr_auc"] == pytest.approx(np.mean(each))
    guess = scores.argmax(axis=1)
    assert values["macro_recall"] == pytest.approx(sk.recall_score(labels, guess, average="macro"))
    assert values["quadratic_kappa"] == pytest.approx(sk.cohen_kappa_score(labels, guess, weights="quadratic"))


def test_multilabel_is_the_mean_over_labels_where_they_are_known() -> None:
    first, second = _binary(seed=1), _binary(seed=2)
    labels = np.stack([first[0], second[0]], axis=1).astype(float)
    labels[:150, 1] = np.nan
    scores = np.stack([first[1][:, 1], second[1][:, 1]], axis=1)
    values, _ = compute_metrics(labels, scores, kind="multilabel", metrics=("roc_auc",))
    parts = [
        sk.roc_auc_score(first[0], scores[:, 0]),
        sk.roc_auc_score(second[0][150:], scores[150:, 1]),
    ]
    assert values["roc_auc"] == pytest.approx(np.mean(parts))


def test_one_class_only_is_nan_with_a_reason() -> None:
    _, scores = _binary(20)
    values, reasons = compute_metrics(
        np.ones(20, dtype=int), scores, kind="binary", metrics=METRICS, names=("no", "yes")
    )
    assert all(np.isnan(value) for value in values.values())
    assert reasons == ["'yes' has no negative image among the 20 scored"]


def test_a_class_without_images_is_left_out_and_named() -> None:
    labels, scores = _classes(classes=3)
    wider = np.concatenate([scores * 0.9, np.full((len(labels), 1), 0.1)], axis=1)
    values, reasons = compute_metrics(labels, wider, kind="multiclass", metrics=("roc_auc",), names=tuple("abcd"))
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, scores, multi_class="ovr"))
    assert reasons == ["'d' has no positive image among the 300 scored"]


def test_kappa_only_by_default_for_ordered_classes_and_unknown_metric_names_the_nearest() -> None:
    assert "quadratic_kappa" in default_metrics("ordinal")
    assert "quadratic_kappa" not in default_metrics("multiclass")
    labels, scores = _binary(20)
    with pytest.raises(ConfigError, match="did you mean 'roc_auc'"):
        compute_metrics(labels, scores, kind="binary", metrics=("rocauc",))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans(), n=st.integers(4, 60))
def test_resampled_ranking_metrics_equal_scikit_learn_with_sample_weights(seed: int, ties: bool, n: int) -> None:
    labels, scores = _binary(n, ties=ties, seed=seed)
    weights = np.random.default_rng(seed + 1).integers(0, 4, size=(5, n))
    auc = resampled_roc_auc(labels == 1, scores[:, 1], weights)
    precision = resampled_average_precision(labels == 1, scores[:, 1], weights)
    for row, weight in enumerate(weights):
        present = np.unique(labels[weight > 0])
        if len(present) < 2:
            assert np.isnan(auc[row])
            assert np.isnan(precision[row])
            continue
        assert auc[row] == pytest.approx(sk.roc_auc_score(labels, scores[:, 1], sample_weight=weight))
        assert precision[row] == pytest.approx(
            sk.average_precision_score(labels, scores[:, 1], sample_weight=weight), abs=1e-12
        )


@pytest.mark.parametrize("kind", ["binary", "ordinal", "multilabel"])
def test_resampled_metrics_equal_the_plain_ones_on_repeated_images(kind: str) -> None:
    labels, scores = _binary(80) if kind == "binary" else _classes(80)
    if kind == "multilabel":
        labels = np.eye(4)[labels]
        labels[::7, 2] = np.nan
    weights = np.random.default_rng(3).integers(0, 3, size=(6, 80))
    ours = resampled_metrics(labels, scores, weights, kind=kind, metrics=METRICS)
    for row, weight in enumerate(weights):
        repeated = np.repeat(np.arange(80), weight)
        plain, _ = compute_metrics(labels[repeated], scores[repeated], kind=kind, metrics=METRICS)
        for metric in METRICS:
            assert ours[metric][row] == pytest.approx(plain[metric]), metric


def test_scores_of_different_folds_are_not_ranked_against_each_other() -> None:
    """Two classifiers that order their own images alike, one of them with all scores pushed down."""
    labels, scores = _binary(300)
    folds = np.arange(300) % 2
    pushed = scores * np.where(folds == 1, 0.2, 1.0)[:, None]
    how = {"kind": "binary", "metrics": ("roc_auc", "pr_auc", "accuracy")}
    together, _ = compute_metrics(labels, pushed, **how)
    apart, _ = compute_metrics(labels, pushed, folds=folds, **how)
    each = [sk.roc_auc_score(labels[folds == one], scores[folds == one, 1]) for one in (0, 1)]
    assert together["roc_auc"] < min(each) - 0.05
    assert apart["roc_auc"] == pytest.approx(np.mean(each), abs=0.01)
    assert apart["accuracy"] == together["accuracy"]  # decisions need no order
    weights = np.random.default_rng(0).integers(0, 3, size=(4, 300))
    drawn = resampled_metrics(labels, pushed, weights, folds=folds, **how)
    ranks = rank_in_folds(pushed, folds)[:, 1]
    for row, weight in enumerate(weights):
        assert drawn["roc_auc"][row] == pytest.approx(sk.roc_auc_score(labels, ranks, sample_weight=weight))
    assert rank_in_folds(pushed, np.zeros(300, int)) is pushed  # one classifier scored them all


def test_ranks_in_folds_keep_ties_and_lie_between_0_and_1() -> None:
    scores, folds = np.array([[0.9], [0.9], [0.1], [7.0], [8.0], [8.0]]), np.array([0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(rank_in_folds(scores, folds)[:, 0], [2 / 3, 2 / 3, 1 / 6, 1 / 6, 2 / 3, 2 / 3])
