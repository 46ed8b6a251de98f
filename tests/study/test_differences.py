"""What is called better: over patients, over trainings, over draws of labels."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.study.differences import _Training, _verdict


def _trainings(*values: float, noise: float = 0.0, draws: int = 1) -> dict[int, _Training]:
    patients = noise * np.random.default_rng(7).standard_normal(1000)
    return {seed: _Training(value, [value + patients] * draws) for seed, value in enumerate(values)}


@pytest.mark.parametrize(
    ("ours", "noise", "word"),
    [
        ((0.8,), 0.01, "better"),  # one training: of patients alone
        ((0.8,), 0.10, "not told apart"),
        ((0.8, 0.81, 0.79), 0.01, "better"),
        ((0.71, 0.80, 0.90), 0.01, "better in these trainings"),
        ((0.6, 0.65, 0.62), 0.01, "worse"),
        ((0.8, 0.81, 0.79), 0.10, "not told apart"),
    ],
)
def test_better_must_hold_for_patients_and_for_trainings(ours: tuple[float, ...], noise: float, word: str) -> None:
    theirs = {seed: _Training(0.7, [np.full(1000, 0.7)]) for seed in range(len(ours))}
    assert _verdict(_trainings(*ours, noise=noise), theirs).rsplit(": ", 1)[1] == word


def test_the_interval_over_trainings_is_student_s() -> None:
    """Of .1, .2, .3: mean .2, standard error .1 / sqrt 3, t of two degrees of freedom 4.303."""
    theirs = {seed: _Training(0.0, [np.zeros(1000)]) for seed in range(4)}
    told = _verdict(_trainings(0.1, 0.2, 0.3, noise=0.01), theirs)
    assert "over trainings [-0.048, +0.448] of +0.100, +0.200, +0.300: better in these trainings" in told
    missing = {seed: one for seed, one in theirs.items() if seed != 1}  # seeds are compared with their own
    assert "of +0.100, +0.300" in _verdict(_trainings(0.1, 0.2, 0.3), missing)


def test_label_draws_are_redrawn_alike_for_both_arms() -> None:
    low, high = np.zeros(4000), np.ones(4000)
    two = {0: _Training(0.5, [low, high])}
    assert _verdict(two, {0: _Training(0.0, [low, low])}) == "+0.500 [+0.000, +1.000]: not told apart"
    assert _verdict(two, {0: _Training(0.4, [low - 0.1, high - 0.1])}).startswith("+0.100 [+0.100, +0.100]: better")


@pytest.mark.parametrize("metric", ["hd95_mm", "hd95_px", "error_px"])
def test_of_distances_the_smaller_is_better(metric: str) -> None:
    theirs = {0: _Training(0.7, [np.full(1000, 0.7)])}
    assert _verdict(_trainings(0.8, noise=0.01), theirs, metric).endswith(": worse")
    assert _verdict(_trainings(0.6, noise=0.01), theirs, metric).endswith(": better")
