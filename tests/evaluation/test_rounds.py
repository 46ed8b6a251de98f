"""Training in rounds: how the rate runs, what is kept, when it ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from vesalius.evaluation.kept_arrays import MadeElsewhereError
from vesalius.evaluation.round_options import RoundOptions
from vesalius.evaluation.rounds import ChosenRates, Fit, build_optimizer, optimizer_step, train_in_rounds


def _train(values: Sequence[float], **options: object) -> tuple[Fit, list[float], float, list[int]]:
    """Train a counter of its steps on 8 images; return the fit, the rates, the counter, and what was told done."""
    network, rates, told = nn.Linear(1, 1, bias=False), [], []
    nn.init.zeros_(network.weight)
    scores = iter(values)

    def take(places: object, step: int, rate: float) -> None:
        rates.append(rate)
        with torch.no_grad():
            network.weight += 1

    given = RoundOptions.model_validate({"rounds": len(values), "round_steps": 4, "batch_size": 4} | options)
    fit = train_in_rounds(
        network, 8, given, lr=0.1, seed=0, take=take, validate=lambda: (next(scores), 1.0), advance=told.append
    )
    return fit, rates, float(network.weight.detach()), told


def test_plateau_lowers_the_rate_and_ends_and_the_best_round_is_kept() -> None:
    fit, rates, steps, told = _train([0.5, 0.9, 0.8, 0.8, 0.7, 0.7], patience=2, min_lr=0.02, warmup_steps=0)
    assert (fit.best_round, fit.value, fit.rounds) == (2, 0.9, 4)  # a tenth of the rate would be below the lowest
    assert steps == 8
    assert rates == [0.1] * 16
    assert sum(told) == 24
    _, rates, _, _ = _train([0.5, 0.9, 0.8, 0.8, 0.7, 0.7], patience=2, min_lr=0.005, warmup_steps=0)
    assert rates == pytest.approx([0.1] * 16 + [0.01] * 8)


def test_cosine_falls_to_the_lowest_rate_over_all_rounds_whatever_validation_says() -> None:
    fit, rates, steps, told = _train([0.9] + [0.1] * 9, schedule="cosine", patience=1, min_lr=0.001, warmup_steps=3)
    assert (fit.best_round, fit.rounds) == (1, 10)
    assert steps == 4
    assert len(rates) == sum(told) == 40
    assert rates[:3] == pytest.approx([0.0, 0.05, 0.1])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[3:]))
    assert rates[3 + 37 // 2] == pytest.approx(0.0505, abs=0.005)
    assert 0.001 <= rates[-1] < 0.002


def test_a_peak_below_the_lowest_rate_stays() -> None:
    _, rates, _, _ = _train([0.5, 0.6], schedule="cosine", min_lr=0.5, warmup_steps=0)
    assert rates == pytest.approx([0.1] * 8)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(("pretrained", "share"), [(True, 0.1), (False, 1.0)])
def test_a_pretrained_encoder_learns_at_its_share_of_the_rate(optimizer: str, pretrained: bool, share: float) -> None:
    """Of equal weights and gradients, encoder and head go as far as their rates are apart."""
    network = nn.ModuleDict({"backbone": nn.Linear(1, 1, bias=False), "head": nn.Linear(1, 1, bias=False)})
    for one in network.parameters():
        nn.init.ones_(one)
    options = RoundOptions.model_validate({"optimizer": optimizer, "encoder_lr": 0.1}).of_arm(pretrained=pretrained)
    steps = build_optimizer(network, network["backbone"], options)
    optimizer_step(steps, sum(one.sum() for one in network.parameters()), lr=0.01, task="segment")
    moved = {name: 1 - float(one.detach()) for name, one in network.named_parameters()}
    assert moved["head.weight"] > 0
    assert moved["backbone.weight"] == pytest.approx(share * moved["head.weight"], rel=1e-3)


def test_what_is_frozen_does_not_learn() -> None:
    network = nn.ModuleDict({"backbone": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    network["backbone"].requires_grad_(False)
    groups = build_optimizer(network, network["backbone"], RoundOptions()).param_groups
    assert [len(group["params"]) for group in groups] == [2]


def test_draws_after_the_first_learn_at_the_rate_that_it_chose() -> None:
    rates = ChosenRates((0.1, 0.01))
    assert rates.of((1.0, 0), first=True, wait=False) == (0.1, 0.01)
    with pytest.raises(MadeElsewhereError):  # another process tries them
        rates.of((1.0, 0), first=False, wait=False)
    assert rates.of((1.0, 0), first=False, wait=True) == (0.1, 0.01)
    rates.choose((1.0, 0), 0.01)
    assert rates.of((1.0, 0), first=False, wait=False) == (0.01,)
    assert rates.of((0.5, 0), first=True, wait=False) == (0.1, 0.01)
    assert ChosenRates((0.1,)).of((1.0, 0), first=False, wait=False) == (0.1,)  # nothing is to be chosen
