from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.data.splits import (
    ImageSplitWarning,
    check_no_overlap,
    folds_by_patient,
    split_by_image,
    split_by_patient,
)
from vesalius.errors import SplitError


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[str], list[object]]:
    """Patients with one to six images each, shuffled, and a label that may be missing."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=5, max_size=60))
    patients = [f"p{number}" for number, size in enumerate(sizes) for _ in range(size)]
    order = draw(st.permutations(range(len(patients))))
    labels = draw(st.lists(st.sampled_from([0, 1, 2, None]), min_size=len(patients), max_size=len(patients)))
    return [patients[at] for at in order], labels


def by_patient(patients: list[str], sides: np.ndarray) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for patient, side in zip(patients, sides, strict=True):
        found.setdefault(patient, set()).add(str(side))
    return found


@given(cohorts(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_no_patient_on_two_sides_and_every_side_filled_to_its_share(cohort, seed: int) -> None:
    patients, labels = cohort
    sides = split_by_patient(patients, labels, seed=seed)
    assert all(len(where) == 1 for where in by_patient(patients, sides).values())
    check_no_overlap(patients, sides)
    largest = max(Counter(patients).values())
    for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        assert (sides == name).any()
        assert abs((sides == name).sum() - share * len(patients)) <= 3 * largest


@given(cohorts(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_rows_does_not_matter(cohort, random) -> None:
    patients, labels = cohort
    order = list(range(len(patients)))
    random.shuffle(order)
    first = split_by_patient(patients, labels, seed=3)
    second = split_by_patient([patients[at] for at in order], [labels[at] for at in order], seed=3)
    assert by_patient(patients, first) == by_patient([patients[at] for at in order], second)


@given(cohorts(), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_folds_hold_whole_patients_and_are_even(cohort, folds: int) -> None:
    patients, labels = cohort
    fold = folds_by_patient(patients, labels, folds=folds, seed=1)
    check_no_overlap(patients, fold)
    largest = max(Counter(patients).values())
    counts = np.bincount(fold, minlength=folds)
    assert set(fold.tolist()) == set(range(folds))
    assert np.abs(counts - len(patients) / folds).max() <= folds * largest


def test_same_seed_same_split_other_seed_another() -> None:
    patients = [f"p{number // 2}" for number in range(400)]
    assert (split_by_patient(patients, seed=1) == split_by_patient(patients, seed=1)).all()
    assert (split_by_patient(patients, seed=1) != split_by_patient(patients, seed=2)).any()


def test_rare_and_common_classes_keep_their_share_on_every_side() -> None:
    generator = np.random.default_rng(0)
    patients = [f"p{number}" for number in generator.integers(0, 1500, 4000)]
    table = pd.DataFrame(
        {
            "common": generator.random(4000) < 0.4,
            "rare": generator.random(4000) < 0.01,
            "grade": generator.integers(0, 5, 4000),
        }
    )
    sides = split_by_patient(patients, table, seed=0)
    for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        here = table[sides == name]
        assert len(here) / 4000 == pytest.approx(share, abs=0.005)
        assert here["common"].mean() == pytest.approx(table["common"].mean(), abs=0.05)
        assert here["rare"].sum() == pytest.approx(share * table["rare"].sum(), abs=4)


def test_a_class_of_three_patients_reaches_every_side() -> None:
    labels = [1 if number < 10 else 0 for number in range(100)]
    sides = split_by_patient([f"p{number}" for number in range(100)], labels, seed=0)
    assert Counter(sides[:10].tolist()) == {"train": 8, "val": 1, "test": 1}


def test_zero_fraction_stays_empty() -> None:
    sides = split_by_patient([f"p{number}" for number in range(20)], fractions=(0.5, 0.0, 0.5), seed=0)
    assert Counter(sides.tolist()) == {"train": 10, "test": 10}


@pytest.mark.parametrize(
    ("patients", "options", "said"),
    [
        (["a", "b"], {}, "2 patients cannot be divided among 3 sides"),
        (["a", "b", "c"], {"fractions": (0.5, 0.1, 0.1)}, "add up to 1"),
        (["a", "b", "c"], {"fractions": (1.2, -0.1, -0.1)}, "add up to 1"),
        (["a", "b", "c"], {"fractions": (0.5, 0.5)}, "three fractions"),
        (["a", "b", "c"], {"labels": [1]}, "1 labels do not go with 3 images"),
    ],
)
def test_impossible_splits_say_why(patients: list[str], options: dict, said: str) -> None:
    with pytest.raises(SplitError, match=said):
        split_by_patient(patients, **options)


def test_overlap_is_an_error_that_counts_and_names_no_patient() -> None:
    with pytest.raises(SplitError, match=r"1 of 3 patients \(2 images\).*1 in test and train\. Draw anew") as caught:
        check_no_overlap(["anna", "anna", "b", "c"], ["train", "test", "train", "val"], advice="Draw anew")
    assert "anna" not in str(caught.value)


def test_split_by_image_warns_and_does_leak() -> None:
    patients = [f"p{number // 10}" for number in range(200)]
    with pytest.warns(ImageSplitWarning, match="one patient may be on both sides"):
        sides = split_by_image([f"i{number}" for number in range(200)], seed=0)
    with pytest.raises(SplitError):
        check_no_overlap(patients, sides)
