from __future__ import annotations

import json

import numpy as np

from vesalius.evaluation.neighbours import nearest_neighbours


def test_neighbours_come_from_the_training_side_nearest_first_and_queries_from_every_class() -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(60, 8)), np.repeat([0, 1, 2], 20)
    rows = 1000 + np.arange(60)
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    found = nearest_neighbours(features, labels, rows, train=train, test=test, queries=6, neighbours=4)
    assert len(found["queries"]) == 6
    assert sorted(found["query_labels"]) == [0, 0, 1, 1, 2, 2]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for query, near, label in zip(found["queries"], found["neighbours"], found["neighbour_labels"], strict=True):
        cosine = unit[train] @ unit[query - 1000]
        assert near == (1000 + train[np.argsort(-cosine)[:4]]).tolist()
        assert label == labels[np.array(near) - 1000].tolist()
    json.dumps(found)


def test_few_images_and_unknown_labels_of_a_multilabel_task() -> None:
    labels = np.array([[0.0, np.nan], [1.0, 0.0], [1.0, 1.0]])
    found = nearest_neighbours(np.eye(3), labels, np.arange(3), train=np.array([0]), test=np.array([1, 2]))
    assert found["neighbours"] == [[0], [0]]
    assert found["neighbour_labels"] == [[[0.0, None]]] * 2
