"""DINO's loss, centre, head, schedules and clipping against what the authors' code gives on these tensors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vesalius.heads.dino_head import DinoHead
from vesalius.losses.dino_loss import DinoLoss
from vesalius.methods.momentum_teacher import MomentumTeacher
from vesalius.schedules import Progress, cosine, linear, warmup_cosine
from vesalius.training.optimizers import clip_each

VIEWS, TEACHER_VIEWS, BATCH, PROTOTYPES = 5, 2, 6, 16


def wave(shape: tuple[int, ...], rate: float) -> Tensor:
    """A tensor that needs no generator, the same in every version of torch."""
    count = math.prod(shape)
    return torch.sin(torch.arange(count, dtype=torch.float64) * rate + 0.3 * rate).float().reshape(shape)


AUTHORS = [
    # step, T_t, loss, gradient norm, gradient [0, 0], centre[:4], norm of the centre
    (0, 0.04, 20.168392, 1.5551162, 1.672e-07, [-0.0159011, -0.0058962, 0.0068818, 0.0164232], 0.05128278),
    (1, 0.055, 18.823341, 1.5402663, 0.01611962, [-0.0128163, -0.0073082, 0.0052147, 0.0170347], 0.04647298),
    (2, 0.07, 16.347807, 1.3568767, 0.13843838, [-0.0228073, 0.0167695, -0.0262487, 0.0479318], 0.09893038),
]


def test_loss_centre_and_gradient_equal_the_authors_figures_over_three_steps() -> None:
    loss = DinoLoss(PROTOTYPES)
    for step, temperature, value, gradient_norm, first, centre, centre_norm in AUTHORS:
        student = (wave((VIEWS * BATCH, PROTOTYPES), 1.1 + step) * 2).requires_grad_()
        teacher = wave((TEACHER_VIEWS * BATCH, PROTOTYPES), 0.7 + step) * 1.5
        got = loss(
            student.unflatten(0, (VIEWS, BATCH)),
            teacher.unflatten(0, (TEACHER_VIEWS, BATCH)),
            teacher_temperature=temperature,
        )
        got.backward()
        assert student.grad is not None
        assert got.item() == pytest.approx(value, rel=1e-6)
        assert student.grad.norm().item() == pytest.approx(gradient_norm, rel=1e-5)
        assert student.grad[0, 0].item() == pytest.approx(first, rel=1e-4, abs=1e-7)
        assert loss.centre[:4].tolist() == pytest.approx(centre, abs=1e-6)
        assert loss.centre.norm().item() == pytest.approx(centre_norm, rel=1e-5)


def test_head_equals_the_authors_figures() -> None:
    head = DinoHead(8, 16, hidden=12, bottleneck=6)
    with torch.no_grad():
        for position, parameter in enumerate(head.parameters()):
            parameter.copy_(wave(tuple(parameter.shape), 0.9 + 0.1 * position) * 0.5)
    out = head(wave((4, 8), 0.5))
    assert out[0, :5].tolist() == pytest.approx([0.09365928, 0.00582446, -0.10931914, 0.1932119, -0.23741674], abs=1e-5)
    assert out.norm().item() == pytest.approx(1.7988722324, rel=1e-5)
    assert out.sum().item() == pytest.approx(0.2011393607, abs=1e-5)


def test_learning_rate_schedule_equals_the_authors_figures() -> None:
    wanted = {
        0: 0.0,
        1: 3.846153846153846e-05,
        7: 0.0002692307692307692,
        13: 0.0005,
        14: 0.0005,
        15: 0.0004996074903469452,
        40: 0.0002784351367877753,
        69: 1.392509653054757e-06,
    }
    for step, value in wanted.items():
        progress = Progress(step=step, total_steps=70, steps_per_epoch=7)
        assert warmup_cosine(5e-4, 1e-6, progress, 14) == pytest.approx(value, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (0.996, 1.0, {0: 0.996, 1: 0.9960020138669173, 35: 0.998, 69: 0.9999979861330827}),
        (0.04, 0.4, {0: 0.04, 1: 0.04018124802256334, 35: 0.22, 69: 0.39981875197743666}),
    ],
)
def test_momentum_and_weight_decay_schedules_equal_the_authors_figures(
    start: float, end: float, wanted: dict[int, float]
) -> None:
    for step, value in wanted.items():
        assert cosine(start, end, step / 70) == pytest.approx(value, rel=1e-9)


def test_teacher_temperature_warms_up_like_the_authors() -> None:
    wanted = [0.04, 0.055, 0.07, 0.07, 0.07]
    assert [linear(0.04, 0.07, epoch / 2) for epoch in range(5)] == pytest.approx(wanted, rel=1e-9)


def test_clipping_is_per_tensor_and_equals_the_authors_figures() -> None:
    large, small = nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(5))
    large.grad, small.grad = wave((3, 4), 0.3) * 4, wave((5,), 0.8)
    assert clip_each([large, small], 3.0).item() == pytest.approx(9.203259468, rel=1e-6)
    assert large.grad.norm().item() == pytest.approx(2.9999997616, rel=1e-6)
    assert small.grad.norm().item() == pytest.approx(1.4307802916, rel=1e-6)
    assert large.grad[0, 1].item() == pytest.approx(0.4957222342, rel=1e-5)


def test_momentum_update_is_the_papers_line() -> None:
    from vesalius.backbones.create_backbone import BackboneConfig, create_backbone

    student = create_backbone(BackboneConfig(name="resnet18", image_size=32))
    head = nn.Linear(4, 3)
    teacher = MomentumTeacher(student.twin(), nn.Linear(4, 3), student, head)
    before = [parameter.clone() for parameter in teacher.parameters()]
    with torch.no_grad():
        for parameter in [*student.parameters(), *head.parameters()]:
            parameter.add_(1.0)
    teacher.update(student, head, 0.9)
    for old, new, now in zip(before, [*student.parameters(), *head.parameters()], teacher.parameters(), strict=True):
        torch.testing.assert_close(now, 0.9 * old + 0.1 * new, rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
