"""Measures of explanations, on maps and networks whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from vesalius.interpret.saliency_measures import (
    energy_inside,
    insertion_deletion,
    rank_correlation,
    with_shuffled_weights,
)


def test_energy_is_the_share_inside() -> None:
    saliency = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    truth = torch.tensor([[True, False], [True, False]])
    assert energy_inside(saliency, truth) == 0.75
    assert energy_inside(torch.ones(2, 2), truth) == 0.5
    assert math.isnan(energy_inside(saliency, torch.zeros(2, 2, dtype=torch.bool)))
    assert math.isnan(energy_inside(torch.zeros(2, 2), truth))


def corner(pixels: torch.Tensor) -> torch.Tensor:
    """A network that looks at the upper left quarter alone: its roughness, as a share of a rough image's."""
    return pixels[:, 0, :16, :16].var((1, 2)).div(1.1).clamp(0, 1)


def test_curves_tell_a_map_of_what_counts_from_one_of_what_does_not() -> None:
    pixels = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0))
    right, wrong = torch.zeros(32, 32), torch.zeros(32, 32)
    right[:16, :16], wrong[16:, 16:] = 1, 1
    good, bad = (insertion_deletion(corner, pixels, saliency, steps=8) for saliency in (right, wrong))
    assert good.shares.tolist() == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]
    for curves in (good, bad):
        assert curves.deletion[0] == curves.insertion[-1] == pytest.approx(float(corner(pixels[None])))
        assert curves.deletion[-1] == curves.insertion[0] < 0.1
    assert good.deletion[2] == good.deletion[-1], "a quarter is all that counts"
    assert bad.deletion[2] == bad.deletion[0]
    assert good.deletion_area < bad.deletion_area
    assert good.insertion_area > bad.insertion_area
    expected = sum((good.deletion[1:] + good.deletion[:-1]) / 2) / 8
    assert good.deletion_area == pytest.approx(expected)


def test_randomised_weights_are_the_same_numbers_elsewhere() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    forgot = with_shuffled_weights(network, seed=1)
    pixels = torch.randn(2, 1, 8, 8)
    assert not torch.allclose(network(pixels), forgot(pixels))
    for ours, theirs in zip(network.parameters(), forgot.parameters(), strict=True):
        assert torch.equal(ours.flatten().sort().values, theirs.flatten().sort().values)
    assert torch.equal(forgot(pixels), with_shuffled_weights(network, seed=1)(pixels))
    assert not torch.equal(forgot(pixels), with_shuffled_weights(network, seed=2)(pixels))


def test_ranks_alone_are_correlated() -> None:
    one = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    assert rank_correlation(one, one.exp()) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, torch.zeros(8, 8)) == 0
    assert math.isnan(rank_correlation(torch.zeros(8, 8), one))
    assert abs(rank_correlation(one, torch.from_numpy(np.random.default_rng(1).random((8, 8), dtype=np.float32)))) < 0.4
