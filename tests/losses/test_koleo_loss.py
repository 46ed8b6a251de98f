"""KoLeo against a plain loop; it falls when points move apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from vesalius.losses.koleo_loss import koleo_loss


def test_equals_the_plain_loop() -> None:
    x = torch.randn(9, 5)
    unit = functional.normalize(x, dim=-1)
    nearest = [min(float((unit[i] - unit[j]).norm()) for j in range(9) if j != i) for i in range(9)]
    assert koleo_loss(x).item() == pytest.approx(-sum(math.log(d) for d in nearest) / 9, abs=1e-4)


def test_its_gradient_pushes_neighbours_apart() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]], requires_grad=True)
    before = koleo_loss(x)
    before.backward()
    assert x.grad is not None
    assert koleo_loss((x - 0.01 * x.grad).detach()) < before


def test_identical_points_stay_finite() -> None:
    x = torch.ones(4, 3, requires_grad=True)
    loss = koleo_loss(x)
    loss.backward()
    assert x.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


def test_neighbours_of_features_that_are_alike_are_found_under_autocast() -> None:
    """Near 1 the steps of bf16 are .004, wider than what sets these cosines apart."""
    x = torch.ones(64, 256) + 0.05 * torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = koleo_loss(x)
    assert found.item() == pytest.approx(koleo_loss(x).item(), abs=1e-6)
