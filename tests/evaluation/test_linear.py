from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from vesalius.evaluation.linear import logistic_scores, standardise
from vesalius.evaluation.sgd_head import sgd_scores


def _data(*, n: int = 300, dim: int = 20, classes: int = 2, signal: float = 0.6, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=n)
    centres = np.random.default_rng(99).normal(size=(classes, dim))
    features = signal * centres[labels] + generator.normal(size=(n, dim))
    return features * np.linspace(0.1, 30, dim) + 5, labels


@pytest.mark.parametrize("dim", [20, 900])
def test_fixed_strength_equals_scikit_learn_on_standardised_features(dim: int) -> None:
    train, labels = _data(dim=dim)
    test, _ = _data(seed=1, dim=dim)
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=1e-2, tol=1e-8, max_iter=2000).fit(scaler.transform(train), labels)
    ours, chosen = logistic_scores(train, labels, np.arange(300), test, kind="binary", grid=(1e-2,))
    assert chosen == [1e-2]
    np.testing.assert_allclose(ours, model.predict_proba(scaler.transform(test)), atol=5e-3)


def test_regularisation_follows_the_training_side_alone() -> None:
    strong, labels = _data(signal=1.5, n=600)
    noise = np.random.default_rng(5).normal(size=(600, 400))
    test, _ = _data(seed=1)
    _, weak_penalty = logistic_scores(strong, labels, np.arange(600), test, kind="binary")
    _, strong_penalty = logistic_scores(noise, labels, np.arange(600), noise[:10], kind="binary")
    assert strong_penalty[0] == 1e-4
    assert weak_penalty[0] > strong_penalty[0]


def test_inner_folds_keep_patients_whole() -> None:
    # 150 patients of four near-copies and labels at random: held out by image, the copies would make weak
    # regularisation look good; held out by patient, it is only noise and the strongest penalty wins.
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 4)
    features = generator.normal(size=(150, 60))[patients] + 0.05 * generator.normal(size=(600, 60))
    labels = generator.integers(2, size=150)[patients]
    _, by_patient = logistic_scores(features, labels, patients, features[:5], kind="binary")
    _, by_image = logistic_scores(features, labels, np.arange(600), features[:5], kind="binary")
    assert by_patient[0] < by_image[0]


def test_multiclass_and_multilabel() -> None:
    train, labels = _data(classes=3, n=400)
    test, truth = _data(classes=3, n=200, seed=1)
    scores, _ = logistic_scores(train, labels, np.arange(400), test, classes=3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert roc_auc_score(truth, scores, multi_class="ovr") > 0.85
    many = np.eye(3)[labels]
    many[:100, 1] = np.nan
    columns, chosen = logistic_scores(train, many, np.arange(400), test, kind="multilabel")
    assert columns.shape == (200, 3)
    assert len(chosen) == 3
    assert min(roc_auc_score(truth == c, columns[:, c]) for c in range(3)) > 0.8


def test_a_class_absent_from_the_training_side_scores_zero_and_a_single_one_is_constant() -> None:
    train, labels = _data()
    scores, _ = logistic_scores(train, labels, np.arange(300), train[:4], classes=5)
    assert (scores[:, 2:] == 0).all()
    alone, _ = logistic_scores(train, np.ones(300, dtype=int), np.arange(300), train[:4], classes=2)
    assert (alone == [0.0, 1.0]).all()


def test_two_labelled_images_are_enough_to_fit() -> None:
    train, labels = _data()
    rows = np.array([np.flatnonzero(labels == 0)[0], np.flatnonzero(labels == 1)[0]])
    scores, chosen = logistic_scores(train[rows], labels[rows], rows, train, kind="binary")
    assert np.isfinite(scores).all()
    assert chosen == [1e-2]


def test_constant_columns_become_zero() -> None:
    train = np.full((5, 2), 7.0)
    train[:, 1] = np.arange(5)
    ours, other = standardise(train, np.array([[9.0, 2.0]]))
    assert (ours[:, 0] == 0).all()
    np.testing.assert_allclose(other, [[0.0, 0.0]], atol=1e-6)


def test_sgd_head_learns_is_seeded_and_comes_near_the_logistic_probe() -> None:
    train, labels = _data(n=500)
    test, truth = _data(n=500, seed=1)
    scores = sgd_scores(train, labels, test, kind="binary", seed=3, base_lr=1e-2)
    np.testing.assert_array_equal(scores, sgd_scores(train, labels, test, kind="binary", seed=3, base_lr=1e-2))
    logistic, _ = logistic_scores(train, labels, np.arange(500), test, kind="binary")
    assert roc_auc_score(truth, scores[:, 1]) > roc_auc_score(truth, logistic[:, 1]) - 0.02
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_sgd_head_multilabel_leaves_unknown_labels_out_of_the_loss() -> None:
    train, labels = _data(n=400)
    test, truth = _data(n=300, seed=1)
    many = np.stack([labels, labels], axis=1).astype(float)
    many[50:, 1] = np.nan
    scores = sgd_scores(train, many, test, kind="multilabel", base_lr=1e-2)
    assert np.isfinite(scores).all()
    assert roc_auc_score(truth, scores[:, 0]) >= roc_auc_score(truth, scores[:, 1]) > 0.6


def test_a_label_that_no_training_image_knows_is_an_even_guess() -> None:
    train, labels = _data()
    unknown = np.stack([labels.astype(float), np.full(len(labels), np.nan)], axis=1)
    scores, chosen = logistic_scores(train, unknown, np.arange(len(labels)), train[:7], kind="multilabel")
    assert (scores[:, 1] == 0.5).all()
    assert len(chosen) == 2
