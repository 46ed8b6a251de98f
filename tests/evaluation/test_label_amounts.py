from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, LabelError
from vesalius.evaluation.label_amounts import deal_patients, draw_label_amounts

FRACTIONS = (0.01, 0.05, 0.1, 0.5, 1.0)


@st.composite
def cohorts(draw):
    patients = draw(st.integers(6, 120))
    classes = draw(st.integers(2, 4))
    seed = draw(st.integers(0, 9_999))
    generator = np.random.default_rng(seed)
    patient = generator.permutation(np.repeat(np.arange(patients), generator.integers(1, 4, size=patients)))
    labels = generator.choice(classes, p=generator.dirichlet(np.ones(classes)), size=len(patient))
    if draw(st.booleans()):
        labels = np.stack([labels == c for c in range(classes)], axis=1).astype(float)
        labels[generator.random(labels.shape) < 0.1] = np.nan
    return patient, labels, seed


@settings(max_examples=120, deadline=None)
@given(cohorts())
def test_draws_are_nested_by_patient_and_hold_every_class(cohort) -> None:
    patient, labels, seed = cohort
    draws = draw_label_amounts(patient, labels, fractions=FRACTIONS, seed=seed)
    before: set[int] = set()
    for fraction in FRACTIONS:
        rows = draws[fraction]
        chosen = set(patient[rows].tolist())
        assert set(np.flatnonzero(np.isin(patient, list(chosen)))) == set(rows.tolist()), "a patient is cut in two"
        assert before <= set(rows.tolist()), "not nested"
        before = set(rows.tolist())
        if labels.ndim == 1:
            assert set(np.unique(labels[rows])) == set(np.unique(labels))
        else:
            for column in range(labels.shape[1]):
                there = {value for value in (0.0, 1.0) if (labels[:, column] == value).any()}
                assert there <= set(labels[rows, column].tolist())
        wanted = int(np.ceil(fraction * len(np.unique(patient)) - 1e-9))
        assert len(chosen) >= wanted
        assert len(chosen) <= max(wanted, 2 * (labels.shape[1] if labels.ndim == 2 else 4))
    assert len(draws[1.0]) == len(patient)


def test_draws_are_stratified_and_differ_by_seed() -> None:
    labels = (np.arange(1000) < 200).astype(int)
    shares, sets = [], []
    for seed in range(20):
        rows = draw_label_amounts(np.arange(1000), labels, fractions=(0.1,), seed=seed)[0.1]
        shares.append(labels[rows].mean())
        sets.append(tuple(rows.tolist()))
    assert max(abs(share - 0.2) for share in shares) <= 0.02
    assert len(set(sets)) == 20
    again = draw_label_amounts(np.arange(1000), labels, fractions=(0.1,), seed=3)[0.1]
    assert tuple(again.tolist()) == sets[3]


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.data())
def test_counts_are_exact_nested_and_take_patients_whole_but_the_last(cohort, data) -> None:
    patient, labels, seed = cohort
    counts = sorted(map(float, data.draw(st.sets(st.integers(2, len(patient)), min_size=2, max_size=4))))
    draws = draw_label_amounts(patient, labels, fractions=(*counts, 1.0), seed=seed)
    before: set[int] = set()
    for count in counts:
        rows = draws[count]
        assert len(set(rows.tolist())) == count
        assert (np.diff(rows) > 0).all()
        assert before <= set(rows.tolist()), "not nested"
        before = set(rows.tolist())
        cut = [one for one in np.unique(patient[rows]) if (patient == one).sum() > (patient[rows] == one).sum()]
        assert len(cut) <= 1
    assert before <= set(draws[1.0].tolist())


def test_more_images_than_there_are() -> None:
    with pytest.raises(LabelError, match=r"11 labelled images are asked for.* has 10"):
        draw_label_amounts(np.arange(10), np.arange(10) % 2, fractions=(11.0,), seed=0)


def test_folds_hold_whole_patients_and_even_classes() -> None:
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(100), 2)
    labels = np.repeat((np.arange(100) < 30).astype(int), 2)
    fold = deal_patients(patient, labels, folds=3, seed=int(generator.integers(99)))
    assert (fold[::2] == fold[1::2]).all()
    assert {int(labels[fold == one].sum()) for one in range(3)} == {20}


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, 5.5, float("nan"), float("inf")])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"5 % is written 0.05"):
        draw_label_amounts(np.arange(10), np.arange(10) % 2, fractions=(fraction,), seed=0)
