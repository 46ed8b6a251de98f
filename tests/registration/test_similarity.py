"""Correlations against numpy, and what they must not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vesalius.registration.similarity import GlobalCorrelation, LocalCorrelation, gray_and_edges


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


def test_a_stride_reads_every_other_window_and_weights_choose_among_them() -> None:
    """By hand: the windows of stride 2 stand about the odd pixels; a weight of one pixel leaves one window."""
    generator = torch.Generator().manual_seed(5)
    fixed, moved = torch.rand(2, 1, 1, 12, 12, generator=generator)
    every = _windows(fixed[0, 0].numpy(), moved[0, 0].numpy())
    similarity = LocalCorrelation(fixed, window=3, stride=2, floor=1e-9)
    assert float(similarity(moved)) == pytest.approx(every[1::2, 1::2].mean(), abs=1e-5)
    weight = torch.zeros(1, 1, 12, 12)
    weight[0, 0, 5, 7] = 3
    similarity = LocalCorrelation(fixed, window=3, weight=weight, floor=1e-9)
    assert float(similarity(moved)) == pytest.approx(every[5, 7], abs=1e-5)


def _windows(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Squared correlation in the 3 x 3 window about every pixel, what lies outside of the image left out."""
    found = np.empty(one.shape)
    for y, x in np.ndindex(one.shape):
        at = (slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2))
        found[y, x] = np.corrcoef(one[at].ravel(), other[at].ravel())[0, 1] ** 2
    return found


def test_edges_are_the_length_of_the_gradient() -> None:
    ramp = torch.linspace(0, 1, 11).expand(1, 1, 11, 11)
    both = gray_and_edges(ramp, gain=1.0)
    torch.testing.assert_close(both[:, :1], ramp)
    torch.testing.assert_close(both[0, 1, :, 1:-1], torch.full((11, 9), 0.2), atol=1e-4, rtol=0)
