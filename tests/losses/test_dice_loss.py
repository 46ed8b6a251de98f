"""Soft Dice: its formula, its least, and what becomes of parts that are not there."""

from __future__ import annotations

import pytest
import torch

from vesalius.losses.dice_loss import dice_loss


def test_it_is_the_papers_formula_over_the_batch() -> None:
    found = torch.tensor([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.0]]])
    target = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    first = 2 * (0.5 + 1.0) / (0.25 + 0.25 + 1.0 + 1.0 + 1.0)
    second = 2 * 1.0 / (1.0 + 0.0625 + 1.0 + 1.0)
    assert float(dice_loss(found, target)) == pytest.approx(1 - (first + second) / 2, abs=1e-6)


def test_descent_finds_shares_of_pixels_too() -> None:
    target = torch.tensor([[[[0.0, 0.3], [1.0, 0.6]]]])
    scores = torch.zeros_like(target, requires_grad=True)
    optimizer = torch.optim.Adam([scores], 0.2)
    for _ in range(150):
        optimizer.zero_grad()
        dice_loss(scores.sigmoid(), target).backward()
        optimizer.step()
    torch.testing.assert_close(scores.detach().sigmoid(), target, atol=0.05, rtol=0)


def test_a_part_that_is_nowhere_costs_nothing_unless_it_is_predicted() -> None:
    nothing = torch.zeros(2, 1, 3, 3, requires_grad=True)
    loss = dice_loss(nothing, torch.zeros(2, 1, 3, 3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert nothing.grad is not None
    assert torch.isfinite(nothing.grad).all()
    assert float(dice_loss(torch.full((2, 1, 3, 3), 0.1), torch.zeros(2, 1, 3, 3))) == 1
