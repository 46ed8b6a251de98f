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


def test_groups_are_compared_each_for_itself() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(3, 5, 8), torch.randn(3, 5, 8)
    alone = torch.stack([nt_xent_loss(one, other) for one, other in zip(first, second, strict=True)])
    torch.testing.assert_close(nt_xent_loss(first, second), alone.mean())


def test_what_is_not_known_is_neither_anchor_nor_negative() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 8, requires_grad=True), torch.randn(2, 5, 8)
    known = torch.tensor([[True, True, False, True, False], [False] * 5])
    loss = nt_xent_loss(first, second, known=known)
    torch.testing.assert_close(loss, nt_xent_loss(first[0, known[0]], second[0, known[0]]))
    loss.backward()
    assert torch.isfinite(first.grad).all()
    assert first.grad[~known].abs().sum() == 0
    assert float(nt_xent_loss(first.detach(), second, known=torch.zeros(2, 5, dtype=torch.bool))) == 0
