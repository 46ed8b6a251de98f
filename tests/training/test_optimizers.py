"""Warm-up, what decays, and what a training's length has to do with it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vesalius.schedules import Progress
from vesalius.training.optimizers import OptimizerConfig, build_optimizer, set_schedules
from vesalius.training.recipe import load_recipe


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def _peak_step(config: OptimizerConfig, total: int, *, own_length: bool) -> int:
    optimizer = build_optimizer(config, _network().named_parameters())
    rates = [
        set_schedules(
            optimizer, config, Progress(step=step, total_steps=total, steps_per_epoch=10), batch_size=256,
            own_length=own_length,
        )[0]
        for step in range(total)
    ]  # fmt: skip
    return max(range(total), key=rates.__getitem__)


@pytest.mark.parametrize(
    ("total", "own_length", "expected"),
    [
        (300, True, 100),  # ten of thirty epochs, as the recipe has it
        (300, False, 30),  # a budget ends it: a tenth
        (120, True, 60),  # ten of twelve epochs would leave nothing: half
        (5, False, 1),
    ],
)
def test_a_warm_up_is_the_recipe_s_own_unless_the_training_is_cut(total: int, own_length: bool, expected: int) -> None:
    config = OptimizerConfig(lr=1.0, warmup_epochs=10)
    assert _peak_step(config, total, own_length=own_length) in (expected - 1, expected)


def test_moco_cxr_s_rate_falls_to_a_tenth_at_epochs_12_and_18_of_20() -> None:
    config, parameters = load_recipe("moco-cxr/paper").optimizer, [*_network().named_parameters()]
    optimizer = build_optimizer(config, parameters)
    epochs: dict[float, set[int]] = {}
    for step in range(20 * 7):
        now = Progress(step=step, total_steps=20 * 7, steps_per_epoch=7)
        lr, decay = set_schedules(optimizer, config, now, batch_size=16)
        assert decay == pytest.approx(1e-4)
        epochs.setdefault(round(lr, 9), set()).add(step // 7)
    assert epochs == {1e-4: {*range(12)}, 1e-5: {*range(12, 18)}, 1e-6: {18, 19}}


def test_steps_come_after_a_warm_up() -> None:
    config = OptimizerConfig(lr=1.0, scale_lr=False, warmup_epochs=1, schedule="steps", milestones=(0.5,), factor=0.5)
    optimizer = build_optimizer(config, _network().named_parameters())
    rates = [
        set_schedules(optimizer, config, Progress(step=step, total_steps=8, steps_per_epoch=3), batch_size=1)[0]
        for step in range(8)
    ]
    assert rates == [0.0, 0.5, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("options", [{"schedule": "steps"}, {"milestones": (0.5,)}])
def test_milestones_and_their_schedule_belong_together(options: dict) -> None:
    with pytest.raises(ValueError, match="steps needs milestones, as shares of the training"):
        OptimizerConfig(**options)


def test_all_parameters_decay_where_it_is_asked_for() -> None:
    network = _network()
    for decay_all, expected in (
        (False, {"0.weight", "2.weight"}),
        (True, {name for name, _ in network.named_parameters()}),
    ):
        config = OptimizerConfig(name="sgd", weight_decay=0.1, weight_decay_end=0.1, decay_all=decay_all)
        optimizer = build_optimizer(config, network.named_parameters())
        set_schedules(optimizer, config, Progress(step=0, total_steps=10, steps_per_epoch=5), batch_size=256)
        decaying = {id(one) for group in optimizer.param_groups if group["weight_decay"] > 0 for one in group["params"]}
        assert {name for name, one in network.named_parameters() if id(one) in decaying} == expected


@pytest.mark.parametrize(
    ("recipe", "decays"),
    [
        ("simsiam/paper", True),
        ("moco/paper", True),
        ("moco-v3/paper", True),
        ("moco-cxr/paper", True),
        ("byol/paper", False),
    ],
)
def test_recipes_decay_as_their_papers_do(recipe: str, decays: bool) -> None:
    assert load_recipe(recipe).optimizer.decay_all is decays


def test_a_decaying_bias_shrinks() -> None:
    layer = nn.Linear(2, 2)
    config = OptimizerConfig(name="sgd", lr=1.0, weight_decay=0.5, weight_decay_end=0.5, momentum=0.0, decay_all=True)
    optimizer = build_optimizer(config, layer.named_parameters())
    before = layer.bias.detach().clone()
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.1, 0.5
    layer.weight.grad, layer.bias.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    torch.testing.assert_close(layer.bias.detach(), before * 0.95)
