"""NT-Xent against a plain loop, its value for chance, and what it pulls together."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from vesalius.losses.nt_xent_loss import nt_xent_loss


def test_equals_the_plain_loop() -> None:
    first, second = torch.randn(5, 7), torch.randn(5, 7)
    points = [functional.normalize(x, dim=0) for x in (*first, *second)]
    total = 0.0
    for i, point in enumerate(points):
        terms = [math.exp(float(point @ other) / 0.2) for other in points]
        total -= math.log(terms[(i + 5) % 10] / (sum(terms) - terms[i]))
    assert nt_xent_loss(first, second, temperature=0.2).item() == pytest.approx(total / 10, abs=1e-5)


def test_views_that_say_nothing_cost_what_chance_costs() -> None:
    same = torch.ones(8, 3)
    assert nt_xent_loss(same, same).item() == pytest.approx(math.log(15), abs=1e-5)


def test_its_gradient_pulls_the_views_of_an_image_together() -> None:
    first, second = (torch.randn(6, 4).requires_grad_() for _ in range(2))
    before = functional.cosine_similarity(first, second).mean()
    for _ in range(20):
        one, two = torch.autograd.grad(nt_xent_loss(first, second), (first, second))
        first, second = (first - one).detach().requires_grad_(), (second - two).detach().requires_grad_()
    assert functional.cosine_similarity(first, second).mean() > before + 0.3
