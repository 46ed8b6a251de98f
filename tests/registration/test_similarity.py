"""Correlations against numpy, and what they must not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vesalius.registration.similarity import GlobalCorrelation, LocalCorrelation


def test_global_is_pearsons_r() -> None:
    one, other = torch.rand(3, 1, 8, 9), torch.rand(3, 1, 8, 9)
    expected = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(one.numpy(), other.numpy(), strict=True)]
    assert GlobalCorrelation(one)(other).tolist() == pytest.approx(expected, abs=1e-5)


def test_local_is_one_for_local_rescaling() -> None:
    fixed = torch.rand(1, 1, 24, 24)
    shading = torch.linspace(0.5, 1.5, 24)
    assert float(LocalCorrelation(fixed, window=5)(fixed)) == pytest.approx(1, abs=1e-3)
    assert float(LocalCorrelation(fixed, window=5)(0.2 + 0.3 * fixed)) == pytest.approx(1, abs=1e-2)
    assert float(LocalCorrelation(fixed, window=5)(fixed * shading)) > 0.9
    assert float(LocalCorrelation(fixed, window=5)(torch.rand(1, 1, 24, 24))) < 0.2


def test_local_equals_the_plain_loop() -> None:
    fixed, moved = torch.rand(1, 1, 7, 7, dtype=torch.float64), torch.rand(1, 1, 7, 7, dtype=torch.float64)
    found = []
    for row in range(7):
        for column in range(7):
            box = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            a, b = fixed[0, 0].numpy()[box], moved[0, 0].numpy()[box]
            covariance = ((a - a.mean()) * (b - b.mean())).mean()
            found.append(covariance**2 / (max(a.var(), 1e-5) * max(b.var(), 1e-5)))
    assert float(LocalCorrelation(fixed, window=3)(moved)) == pytest.approx(np.mean(found), abs=1e-8)


def test_flat_padding_counts_for_nothing() -> None:
    flat = torch.zeros(1, 1, 12, 12)
    assert float(LocalCorrelation(flat, window=5)(torch.rand(1, 1, 12, 12))) == pytest.approx(0, abs=1e-9)
