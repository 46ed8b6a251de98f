"""DINO's loss against the plain double loop over pairs, its invariances, and what it remembers for the monitors."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vesalius.losses.dino_loss import DinoLoss


def by_pairs(student: Tensor, teacher: Tensor, centre: Tensor, student_t: float, teacher_t: float) -> Tensor:
    """Equation 3 as it is written, one cross-entropy a pair."""
    terms = [
        -(((teacher[t] - centre) / teacher_t).softmax(-1) * (student[v] / student_t).log_softmax(-1)).sum(-1).mean()
        for t in range(len(teacher))
        for v in range(len(student))
        if v != t
    ]
    return torch.stack(terms).mean()


@settings(max_examples=25, deadline=None)
@given(
    views=st.integers(2, 6),
    batch=st.integers(1, 5),
    prototypes=st.integers(2, 33),
    temperature=st.floats(0.02, 0.2),
    seed=st.integers(0, 99),
)
def test_equals_the_double_loop_over_pairs(
    views: int, batch: int, prototypes: int, temperature: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    loss = DinoLoss(prototypes)
    loss.centre.copy_(torch.randn(prototypes, generator=generator))
    student = torch.randn(views, batch, prototypes, generator=generator)
    teacher = torch.randn(2, batch, prototypes, generator=generator)
    wanted = by_pairs(student, teacher, loss.centre.clone(), 0.1, temperature)
    torch.testing.assert_close(loss(student, teacher, teacher_temperature=temperature), wanted, rtol=1e-4, atol=1e-4)


def test_the_centre_moves_after_the_loss() -> None:
    loss = DinoLoss(4)
    teacher = torch.ones(2, 3, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    first = loss(torch.zeros(2, 3, 4), teacher, teacher_temperature=0.1)
    assert first.item() == pytest.approx(math.log(4), rel=1e-6)
    torch.testing.assert_close(loss.centre, 0.1 * teacher[0, 0])


def test_no_gradient_reaches_the_teacher() -> None:
    teacher = torch.randn(2, 3, 4, requires_grad=True)
    loss = DinoLoss(4)(torch.randn(2, 3, 4, requires_grad=True), teacher, teacher_temperature=0.04)
    loss.backward()
    assert teacher.grad is None


def test_entropies_tell_the_two_collapses_apart() -> None:
    loss = DinoLoss(8)
    loss(torch.zeros(2, 4, 8), torch.zeros(2, 4, 8), teacher_temperature=0.04)
    assert loss.teacher_entropy.item() == pytest.approx(math.log(8), rel=1e-5)
    one = torch.zeros(2, 4, 8)
    one[..., 0] = 10.0
    loss = DinoLoss(8)
    loss(torch.zeros(2, 4, 8), one, teacher_temperature=0.04)
    assert loss.teacher_entropy.item() == pytest.approx(0.0, abs=1e-5)
    assert loss.mean_entropy.item() == pytest.approx(0.0, abs=1e-5)


def test_half_precision_logits_are_computed_in_single() -> None:
    student, teacher = torch.randn(2, 4, 512), torch.randn(2, 4, 512)
    exact = DinoLoss(512)(student.bfloat16().float(), teacher.bfloat16().float(), teacher_temperature=0.04)
    half = DinoLoss(512)(student.bfloat16(), teacher.bfloat16(), teacher_temperature=0.04)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact)
