"""The chance of views."""

from __future__ import annotations

import torch

from vesalius.views.uniform import uniform


def test_the_generator_decides_alone() -> None:
    first = uniform(torch.Generator().manual_seed(3), 2, 500)
    torch.manual_seed(0)
    assert torch.equal(first, uniform(torch.Generator().manual_seed(3), 2, 500))
    assert first.shape == (2, 500)
    assert float(first.min()) >= 0
    assert float(first.max()) < 1
    assert abs(float(first.mean()) - 0.5) < 0.05
