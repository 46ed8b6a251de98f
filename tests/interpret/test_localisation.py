"""Localisation scores against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from vesalius.interpret.localisation import average_precision, best_dice, enlarge, mass_overlap, pointing_game


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 3, 10, 100_000]))
def test_average_precision_is_scikit_learns_ties_included(seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random((3, 6, 7)) < 0.3
    truth[:, 0, 0] = True
    scores = generator.integers(0, levels, (3, 6, 7)).astype(np.float32)
    expected = [average_precision_score(t.ravel(), s.ravel()) for t, s in zip(truth, scores, strict=True)]
    found = average_precision(torch.from_numpy(scores), torch.from_numpy(truth))
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_a_constant_map_scores_the_parts_area() -> None:
    truth = torch.zeros(1, 10, 10, dtype=torch.bool)
    truth[0, :3] = True
    assert float(average_precision(torch.ones(1, 10, 10), truth)) == pytest.approx(0.3)


def test_images_without_the_part_are_left_out() -> None:
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[0, 1, 1] = True
    scores = torch.rand(2, 4, 4)
    for figures in (average_precision(scores, truth), pointing_game(scores, truth), mass_overlap(scores, truth)):
        assert bool(torch.isfinite(figures[0]))
        assert bool(torch.isnan(figures[1]))


def test_pointing_game_and_dice() -> None:
    truth = torch.zeros(1, 4, 4, dtype=torch.bool)
    truth[0, :2] = True
    scores = torch.where(truth, 0.9, 0.1)
    assert float(pointing_game(scores, truth)) == 1
    assert float(pointing_game(-scores, truth)) == 0
    flat = torch.full_like(scores, 0.3)  # a map that says nothing points at the part as often as the part is large
    assert float(pointing_game(flat, truth)) == pytest.approx(float(truth.float().mean()))
    level, dice = best_dice(scores, truth)
    assert float(dice) == 1
    assert 0.1 / 0.9 < level < 1


def test_mass_overlap_of_a_half_right_map() -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.bool)
    truth[0, :, :4] = True
    attention = torch.tensor([[[0.4, 0.4], [0.1, 0.1]]])
    assert float(mass_overlap(attention, truth, mass=0.6)) == pytest.approx(1 / 3)


def test_enlarging_keeps_patches_or_blends_them() -> None:
    maps = torch.tensor([[[[0.0, 1.0]]]])
    assert enlarge(maps, (1, 4), "nearest").flatten().tolist() == [0, 0, 1, 1]
    assert enlarge(maps, (1, 4)).flatten().tolist() == pytest.approx([0, 0.25, 0.75, 1])
