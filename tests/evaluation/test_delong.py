"""DeLong's test against its definition, summed pair by pair; patients of several images; what cannot be tested."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from vesalius.evaluation.delong import compare_aucs


def by_definition(positive: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """DeLong, DeLong and Clarke-Pearson 1988, equations 5 to 8, every pair by itself."""
    components = []
    for scores in (ours, theirs):
        yes, no = scores[positive], scores[~positive]
        won = (yes[:, None] > no[None, :]) + 0.5 * (yes[:, None] == no[None, :])
        components.append((won.mean(), won.mean(axis=1), won.mean(axis=0)))
    contrast = np.array([1.0, -1.0])
    s10 = np.cov(np.stack([one[1] for one in components]))
    s01 = np.cov(np.stack([one[2] for one in components]))
    variance = contrast @ (s10 / positive.sum() + s01 / (~positive).sum()) @ contrast
    value = components[0][0] - components[1][0]
    return value, math.sqrt(variance), 2 * norm.sf(abs(value) / math.sqrt(variance))


@pytest.mark.parametrize("levels", [3, 1000])
def test_one_image_a_patient_is_delong(levels: int) -> None:
    generator = np.random.default_rng(levels)
    positive = generator.random(90) < 0.4
    ours = np.round((generator.random(90) + positive) * levels)
    theirs = np.round((generator.random(90) + 0.5 * positive) * levels)
    found = compare_aucs(positive, ours, theirs, np.arange(90))
    assert (found.value, found.error, found.p) == pytest.approx(by_definition(positive, ours, theirs))
    assert found.value == pytest.approx(roc_auc_score(positive, ours) - roc_auc_score(positive, theirs))
    back = compare_aucs(positive, theirs, ours, np.arange(90))
    assert (back.value, back.p) == pytest.approx((-found.value, found.p))


def test_copies_of_an_image_are_no_further_witnesses() -> None:
    """Every patient three times over: the error stays that of the patients, where DeLong's own would shrink."""
    generator = np.random.default_rng(1)
    positive = np.arange(60) % 2 == 0
    ours, theirs = generator.random(60) + 0.5 * positive, generator.random(60) + 0.3 * positive
    once = compare_aucs(positive, ours, theirs, np.arange(60))
    thrice = compare_aucs(*(np.tile(one, 3) for one in (positive, ours, theirs)), np.tile(np.arange(60), 3))
    apart = compare_aucs(*(np.tile(one, 3) for one in (positive, ours, theirs)), np.arange(180))
    assert (thrice.value, thrice.error) == pytest.approx((once.value, once.error), rel=1e-9)
    assert apart.error < 0.6 * once.error


def test_the_error_of_patients_with_images_of_both_kinds_is_that_of_a_simulation() -> None:
    generator = np.random.default_rng(2)

    def draw() -> tuple[np.ndarray, ...]:
        patients = np.repeat(np.arange(80), 3)
        own = generator.normal(size=80)[patients]  # shared by a patient's images, and by both scores
        positive = generator.random(240) < norm.cdf(own)
        scores = [own + positive + generator.normal(size=240) * noise for noise in (1.0, 2.0)]
        return positive, *scores, patients

    found = [compare_aucs(*draw()) for _ in range(1500)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.1)


@given(st.integers(0, 10_000))
def test_no_difference_is_found_as_often_as_the_p_value_says(seed: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(40) < 0.5
    if 2 <= positive.sum() <= 38:
        found = compare_aucs(positive, generator.random(40), generator.random(40), np.arange(40))
        assert 0 <= found.p <= 1
        assert found.error > 0


def test_what_cannot_be_told() -> None:
    positive = np.array([True, True, False, False])
    scores = np.array([3.0, 1.0, 2.0, 0.0])
    same = compare_aucs(positive, scores, 10 * scores, np.arange(4))
    assert (same.value, same.error, same.p) == (0.0, 0.0, 1.0)
    alone = compare_aucs(positive, scores, scores[::-1].copy(), np.array([0, 0, 1, 2]))
    assert math.isnan(alone.p)  # all positive images are of one patient
    for first, second in itertools.pairwise([scores, -scores, scores]):
        assert compare_aucs(positive, first, second, np.arange(4)).value != 0
