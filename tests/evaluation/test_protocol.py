from __future__ import annotations

import numpy as np
import pytest

from vesalius.errors import ConfigError, SplitError
from vesalius.evaluation.protocol import check_stores_apart, make_sides


def _cohort(patients: int = 300):
    patient = np.repeat(np.array([f"p{i:04d}" for i in range(patients)]), 2)
    labels = np.repeat(np.arange(patients) % 3 == 0, 2).astype(int)
    return patient, labels


def _check_apart(sides, patient) -> None:
    for train, test in sides.pairs:
        assert not set(patient[train]) & set(patient[test])


def test_folds_score_every_image_once_with_no_patient_on_both_sides() -> None:
    patient, labels = _cohort()
    sides = make_sides(np.full(len(labels), "train"), labels, patient, protocol="folds", folds=4, seed=2)
    assert sorted(sides.test.tolist()) == list(range(len(labels)))
    _check_apart(sides, patient)
    shares = [labels[test].mean() for _, test in sides.pairs]
    assert max(shares) - min(shares) < 0.05


def test_auto_takes_a_test_side_that_can_tell_something_else_folds() -> None:
    patient, labels = _cohort(600)
    number = np.array([int(name[1:]) for name in patient])
    large = np.where(number >= 380, "test", np.where(number < 50, "val", "train"))
    sides = make_sides(large, labels, patient)
    assert sides.protocol == "split"
    assert set(large[sides.train]) == {"train", "val"}
    _check_apart(sides, patient)
    small = make_sides(np.where(number >= 550, "test", "train"), labels, patient)
    assert small.protocol == "folds"
    assert "50 patients" in small.reason
    only_train = make_sides(np.full(len(labels), "train"), labels, patient)
    assert only_train.protocol == "folds"
    no_positives = make_sides(np.where((number >= 300) & (labels == 0), "test", "train"), labels, patient)
    assert no_positives.protocol == "folds"


def test_a_patient_on_both_sides_is_an_error_that_says_what_to_do() -> None:
    patient, labels = _cohort()
    split = np.array(["train", "test"] * 300)
    with pytest.raises(SplitError, match=r"300 of 300 patients.*protocol='folds'"):
        make_sides(split, labels, patient, protocol="split")


def test_empty_sides_and_unknown_protocols_are_named() -> None:
    patient, labels = _cohort()
    with pytest.raises(SplitError, match="test side holds no image"):
        make_sides(np.full(len(labels), "train"), labels, patient, protocol="split")
    with pytest.raises(ConfigError, match="did you mean 'folds'"):
        make_sides(np.full(len(labels), "train"), labels, patient, protocol="fold")


def test_stores_that_share_patients_or_pixels_are_refused() -> None:
    ids, other = np.array(["a", "b"]), np.array(["c", "d"])
    check_stores_apart({"patient": ids, "pixel_sha256": ids}, {"patient": other, "pixel_sha256": other})
    with pytest.raises(SplitError, match="1 patients are in both"):
        check_stores_apart({"patient": ids}, {"patient": np.array(["b", "d"])})
    with pytest.raises(SplitError, match="2 identical images"):
        check_stores_apart({"patient": ids, "pixel_sha256": ids}, {"patient": other, "pixel_sha256": ids})
