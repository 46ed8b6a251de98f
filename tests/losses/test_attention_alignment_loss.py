"""The two alignment losses: their formulas, and what each makes of a free row of attention."""

from __future__ import annotations

import math

import pytest
import torch

from vesalius.losses.attention_alignment_loss import attention_inside, coverage_loss, linear_alignment_loss

PART = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.5, 0.0, 1.0, 0.0])


def trained(loss, steps: int = 600) -> torch.Tensor:
    """Return the row that gradient descent makes of nine free scores, the first being [CLS]'s own."""
    scores = torch.randn(9, generator=torch.Generator().manual_seed(0)).mul_(0.1).requires_grad_()
    optimizer = torch.optim.Adam([scores], 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(scores.softmax(0)[1:], PART).backward()
        optimizer.step()
    return scores.detach().softmax(0)[1:]


def test_linear_is_the_papers_prose() -> None:
    attention = torch.tensor([0.1, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1, 0.0])
    inside, outside = attention_inside(attention, PART)
    assert (float(inside), float(outside)) == pytest.approx((0.55, 0.35))
    loss = linear_alignment_loss(attention, PART, inclusion=2.0, exclusion=3.0)
    assert float(loss) == pytest.approx(-2 * 0.55 + 3 * 0.35, abs=1e-6)


def test_coverage_is_a_cross_entropy() -> None:
    attention = PART / PART.sum()
    expected = -sum(p * math.log(p) for p in attention.tolist() if p)
    assert float(coverage_loss(attention, PART)) == pytest.approx(expected, abs=1e-5)
    assert float(coverage_loss(torch.full((8,), 1 / 8), PART)) == pytest.approx(math.log(8), abs=1e-5)


def test_a_part_out_of_view_is_no_loss() -> None:
    row = torch.full((8,), 1 / 9, requires_grad=True)
    loss = coverage_loss(row, torch.zeros(8))
    loss.backward()
    assert float(loss.detach()) == 0
    assert row.grad is not None
    assert torch.isfinite(row.grad).all()


@pytest.mark.parametrize(("inclusion", "exclusion"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_linear_does_not_tell_one_pixel_from_the_whole_part(inclusion: float, exclusion: float) -> None:
    inside = PART == 1
    spread = inside / inside.sum()
    one = torch.zeros(8)
    one[2] = 1.0
    losses = [linear_alignment_loss(row, PART, inclusion=inclusion, exclusion=exclusion) for row in (one, spread)]
    assert float(losses[0]) == pytest.approx(float(losses[1]), abs=1e-6)
    assert coverage_loss(one, PART) > coverage_loss(spread, PART) + 1


def test_exclusion_alone_is_satisfied_by_looking_nowhere() -> None:
    row = trained(lambda a, k: linear_alignment_loss(a, k, inclusion=0.0, exclusion=1.0))
    assert float((row * (1 - PART)).sum()) < 0.02
    assert float(linear_alignment_loss(torch.zeros(8), PART, inclusion=0.0, exclusion=1.0)) == 0


def test_coverage_spreads_over_the_whole_part() -> None:
    row = trained(coverage_loss)
    torch.testing.assert_close(row, PART / PART.sum(), atol=0.02, rtol=0)


@pytest.mark.parametrize(("inclusion", "exclusion"), [(2.0, 0.0), (0.0, 2.0), (0.5, 1.5)])
def test_the_two_linear_terms_are_one_where_all_attention_goes_to_patches(inclusion: float, exclusion: float) -> None:
    """sum a = 1 makes exclusion 1 - inclusion: any split of their sum has the same gradient, and the same optima."""
    gradients = []
    for first, second in ((1.0, 1.0), (inclusion, exclusion)):
        scores = torch.randn(8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        linear_alignment_loss(scores.softmax(0), PART, inclusion=first, exclusion=second).backward()
        gradients.append(scores.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("inclusion", "exclusion"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_linear_ends_on_the_surest_pixel_and_coverage_does_not(inclusion: float, exclusion: float) -> None:
    """On a soft map, one pixel surer than the rest: linear gives it nearly all, coverage its own share."""
    soft = torch.tensor([0.0, 0.6, 0.7, 1.0, 0.8, 0.6, 0.2, 0.0])

    def ended(loss) -> torch.Tensor:
        scores = torch.zeros(8, requires_grad=True)
        optimizer = torch.optim.Adam([scores], 0.05)
        for _ in range(2000):
            optimizer.zero_grad()
            loss(scores.softmax(0), soft).backward()
            optimizer.step()
        return scores.detach().softmax(0)

    collapsed = ended(lambda a, k: linear_alignment_loss(a, k, inclusion=inclusion, exclusion=exclusion))
    assert collapsed.argmax() == 3
    assert float(collapsed.max()) > 0.95
    torch.testing.assert_close(ended(coverage_loss), soft / soft.sum(), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("inclusion", "exclusion", "to_cls"),
    [(1.0, 1.0, True), (0.0, 1.0, True), (1.0, 0.1, True), (1.0, 0.07, False), (1.0, 0.0, False)],
)
def test_exclusion_sends_a_row_that_knows_nothing_to_cls_where_the_part_is_small(
    inclusion: float, exclusion: float, to_cls: bool
) -> None:
    """Of a part of 8 %: towards [CLS] if and only if 0.08 < exclusion / (inclusion + exclusion)."""
    part = torch.zeros(100)
    part[:8] = 1.0
    scores = torch.zeros(101, requires_grad=True)
    linear_alignment_loss(scores.softmax(0)[1:], part, inclusion=inclusion, exclusion=exclusion).backward()
    assert (float(scores.grad[0]) < 0) == to_cls
    scores = torch.zeros(101, requires_grad=True)
    coverage_loss(scores.softmax(0)[1:], part).backward()
    assert float(scores.grad[0]) > 0
