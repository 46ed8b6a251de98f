from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from vesalius.errors import EvaluationError
from vesalius.evaluation.knn import knn_scores, nearest_rows, unit_length


def _data(*, train: int = 60, test: int = 23, dim: int = 7, classes: int = 3, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), generator.integers(classes, size=train - classes)])
    centres = generator.normal(size=(classes, dim))
    features = centres[labels] + generator.normal(size=(train, dim))
    return features, labels, generator.normal(size=(test, dim))


def _slow(train, labels, test, *, k, temperature, classes):
    """The definition, one image and one neighbour at a time, in double precision."""
    out = np.zeros((len(test), classes))
    for i, image in enumerate(test):
        cosines = [float(image @ other / np.linalg.norm(image) / np.linalg.norm(other)) for other in train]
        for j in sorted(range(len(train)), key=lambda j: -cosines[j])[:k]:
            out[i, labels[j]] += np.exp(cosines[j] / temperature)
    return out / out.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 5, 20, 60, 200])
def test_equals_the_definition_also_where_k_exceeds_the_training_side(k: int) -> None:
    train, labels, test = _data()
    ours = knn_scores(train, labels, test, ks=(k,), classes=3)[k]
    np.testing.assert_allclose(ours, _slow(train, labels, test, k=k, temperature=0.07, classes=3), atol=2e-5)


def test_decides_like_scikit_learn_with_the_same_weights() -> None:
    train, labels, test = _data(train=150, test=80)
    weights = {"weights": lambda distance: np.exp((1 - distance) / 0.07)}
    theirs = KNeighborsClassifier(15, metric="cosine", algorithm="brute", **weights).fit(train, labels)
    ours = knn_scores(train, labels, test, ks=(15,), classes=3)[15]
    np.testing.assert_allclose(ours, theirs.predict_proba(test), atol=2e-5)


def test_several_k_at_once_equal_each_alone_and_chunks_change_nothing() -> None:
    train, labels, test = _data()
    together = knn_scores(train, labels, test, ks=(3, 10, 500), classes=3, chunk=4)
    for k, scores in together.items():
        np.testing.assert_allclose(scores, knn_scores(train, labels, test, ks=(k,), classes=3)[k], atol=1e-6)


def test_one_test_image_is_enough() -> None:
    train, labels, test = _data()
    assert knn_scores(train, labels, test[:1], ks=(200,), classes=3)[200].shape == (1, 3)


def test_multilabel_equals_one_binary_task_a_label_and_unknown_labels_do_not_vote() -> None:
    train, labels, test = _data(train=80)
    many = np.stack([labels == 0, labels == 1], axis=1).astype(float)
    ours = knn_scores(train, many, test, ks=(9,), kind="multilabel")[9]
    for column in range(2):
        alone = knn_scores(train, many[:, column].astype(int), test, ks=(9,), kind="binary")[9]
        np.testing.assert_allclose(ours[:, column], alone[:, 1], atol=1e-6)
    many[10:, 1] = np.nan
    all_vote = knn_scores(train, many, test, ks=(80,), kind="multilabel")[80]
    few = knn_scores(train[:10], many[:10, 1].astype(int), test, ks=(80,), kind="binary")[80]
    np.testing.assert_allclose(all_vote[:, 1], few[:, 1], atol=1e-5)


def test_a_tiny_temperature_does_not_overflow() -> None:
    train, labels, test = _data()
    scores = knn_scores(train, labels, test, ks=(20,), temperature=1e-4, classes=3)[20]
    nearest = labels[nearest_rows(unit_length(train), unit_length(test), k=1)[0][:, 0]]
    np.testing.assert_array_equal(scores.argmax(axis=1), nearest)


def test_bad_input_is_named() -> None:
    train, labels, test = _data()
    with pytest.raises(EvaluationError, match="k >= 1"):
        knn_scores(train, labels, test, ks=(0,), classes=3)
    with pytest.raises(EvaluationError, match="both sides"):
        knn_scores(train, labels, test[:0], classes=3)
    train[3, 2] = np.nan
    with pytest.raises(EvaluationError, match="1 of 60 training images"):
        knn_scores(train, labels, test, classes=3)
