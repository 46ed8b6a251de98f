"""What is called better: over patients, over trainings, over draws of labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from vesalius.study.differences import difference_of, difference_words, holm
from vesalius.study.trainings import Training


def _words(ours: dict[int, Training], theirs: dict[int, Training], metric: str = "") -> str:
    """Return what is said of a difference, without its p."""
    return difference_words(difference_of(ours, theirs, metric), 1).strip().rpartition(" (p ")[0]


def _trainings(*values: float, noise: float = 0.0, draws: int = 1) -> dict[int, Training]:
    patients = noise * np.random.default_rng(7).standard_normal(1000)
    return {seed: Training(value, [value + patients] * draws) for seed, value in enumerate(values)}


@pytest.mark.parametrize(
    ("ours", "noise", "word"),
    [
        ((0.8,), 0.01, "better"),  # one training: of patients alone
        ((0.8,), 0.10, "not told apart"),
        ((0.8, 0.81, 0.79), 0.01, "better"),
        ((0.71, 0.80, 0.90), 0.01, "better in these trainings"),
        ((0.6, 0.65, 0.62), 0.01, "worse"),
        ((0.8, 0.81, 0.79), 0.10, "not told apart"),
        ((0.8, 0.8, 0.8), 0.01, "better in these trainings"),  # weights from elsewhere: one training, thrice
    ],
)
def test_better_must_hold_for_patients_and_for_trainings(ours: tuple[float, ...], noise: float, word: str) -> None:
    theirs = {seed: Training(0.7, [np.full(1000, 0.7)]) for seed in range(len(ours))}
    assert _words(_trainings(*ours, noise=noise), theirs).rsplit(": ", 1)[1] == word


def test_the_interval_over_trainings_is_student_s() -> None:
    """Of .1, .2, .3: mean .2, standard error .1 / sqrt 3, t of two degrees of freedom 4.303."""
    theirs = {seed: Training(0.0, [np.zeros(1000)]) for seed in range(4)}
    told = _words(_trainings(0.1, 0.2, 0.3, noise=0.01), theirs)
    assert "over trainings [-0.048, +0.448] of +0.100, +0.200, +0.300: better in these trainings" in told
    missing = {seed: one for seed, one in theirs.items() if seed != 1}  # seeds are compared with their own
    assert "of +0.100, +0.300" in _words(_trainings(0.1, 0.2, 0.3), missing)


def test_label_draws_are_redrawn_alike_for_both_arms() -> None:
    low, high = np.zeros(4000), np.ones(4000)
    two = {0: Training(0.5, [low, high])}
    assert _words(two, {0: Training(0.0, [low, low])}) == "+0.500 [+0.000, +1.000]: not told apart"
    assert _words(two, {0: Training(0.4, [low - 0.1, high - 0.1])}).startswith("+0.100 [+0.100, +0.100]: better")


@pytest.mark.parametrize("metric", ["hd95_mm", "hd95_px", "error_px"])
def test_of_distances_the_smaller_is_better(metric: str) -> None:
    theirs = {0: Training(0.7, [np.full(1000, 0.7)])}
    assert _words(_trainings(0.8, noise=0.01), theirs, metric).endswith(": worse")
    assert _words(_trainings(0.6, noise=0.01), theirs, metric).endswith(": better")


def test_holm_is_of_the_textbook() -> None:
    """Holm 1979: .01, .04, .03, .005 of four tests."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.01, float("nan"), 0.02]) == pytest.approx([0.02, float("nan"), 0.02], nan_ok=True)


def test_what_is_not_defined_has_no_p() -> None:
    nothing = {0: Training(float("nan"), [np.full(1000, np.nan)])}
    one = difference_of(nothing, {0: Training(0.7, [np.full(1000, 0.7)])})
    assert np.isnan(one.p)
    assert "(p" not in difference_words(one, 3)
    some = {0: nothing[0], 1: Training(0.9, [np.full(1000, 0.9)])}
    theirs = {seed: Training(0.7, [np.full(1000, 0.7)]) for seed in some}
    assert "the same in" not in difference_words(difference_of(some, theirs), 1)


def test_what_is_apart_by_itself_and_not_among_many_says_so() -> None:
    patients = stats.zscore(np.random.default_rng(7).standard_normal(1000))
    one = difference_of({0: Training(0.8, [0.8 + 0.04 * patients])}, {0: Training(0.7, [np.full(1000, 0.7)])})
    assert one.p == pytest.approx(0.0124, rel=0.01)  # 2.5 standard errors
    assert "better (p 0.01" in difference_words(one, 1)
    many = difference_words(replace(one, adjusted=12 * one.p), 12)
    assert "better, by itself and not among 12 (p 0.01" in many
    assert ", 0.1" in many.rpartition("(")[2]
