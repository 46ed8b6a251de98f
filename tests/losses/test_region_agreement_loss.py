"""Agreement of regions: the formula, images counting alike, gradients that stop at the targets."""

from __future__ import annotations

import math

import pytest
import torch

from vesalius.losses.region_agreement_loss import region_agreement_loss


def wave(rows: int, dim: int, rate: float) -> torch.Tensor:
    return torch.sin(torch.arange(rows * dim, dtype=torch.float64) * rate).float().reshape(rows, dim)


def test_the_formula_image_by_image() -> None:
    """Three regions of image 0, one of image 2, none of image 1; in double precision and by hand."""
    one, two = wave(4, 6, 1.1).requires_grad_(), wave(4, 6, 0.7).requires_grad_()
    loss = region_agreement_loss(one, two, torch.tensor([0, 0, 0, 2]), batch=3)

    def apart(row: int) -> float:
        a, b = one[row].double().tolist(), two[row].double().tolist()
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return 2 - 2 * dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    by_hand = ((apart(0) + apart(1) + apart(2)) / 3 + apart(3)) / 2
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)
    loss.backward()
    assert one.grad is not None
    assert two.grad is None


def test_no_region_at_all() -> None:
    nothing = torch.zeros(0, 4, requires_grad=True)
    loss = region_agreement_loss(nothing, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), batch=3)
    assert loss.item() == 0.0
