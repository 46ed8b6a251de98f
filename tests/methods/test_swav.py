"""SwAV: codes of full-size views, prototypes of unit length that wait, a queue that is used once it is full."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from vesalius.errors import ConfigError
from vesalius.losses.sinkhorn import sinkhorn
from vesalius.methods.swav import Swav, SwavConfig
from vesalius.schedules import Progress

PROGRESS = Progress(step=3, total_steps=10, steps_per_epoch=5)
SMALL = {"hidden": 16, "dim": 8, "prototypes": 5}


def swav(student, **options) -> Swav:
    return Swav(SwavConfig.model_validate(SMALL | options), student()).train()


def test_every_view_predicts_the_codes_of_the_other_full_views(student, three_views) -> None:
    method = swav(student, queue=0)
    again = copy.deepcopy(method)
    pooled = torch.cat([method.student.forward_features(view.pixels).pooled for view in three_views])
    embedded = functional.normalize(method.projector(pooled), dim=-1)
    scores = (embedded @ functional.normalize(method.prototypes.weight, dim=1).T).view(3, 6, 5)
    codes = [sinkhorn(scores[view]) for view in (0, 1)]
    parts = [
        functional.cross_entropy(scores[view] / 0.1, codes[other])
        for view in range(3)
        for other in (0, 1)
        if view != other
    ]
    output = again(three_views, PROGRESS)
    torch.testing.assert_close(output.loss, torch.stack(parts).mean(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again.prototypes.weight.norm(dim=1), torch.ones(5))


def test_prototypes_wait(student, two_views) -> None:
    method = swav(student, queue=0, frozen_prototypes_epochs=1.0)
    method(two_views, PROGRESS).loss.backward()
    method.before_optimizer_step(PROGRESS)
    assert method.prototypes.weight.grad is None
    assert method.projector.layers[0].weight.grad is not None
    method(two_views, PROGRESS).loss.backward()
    method.before_optimizer_step(Progress(step=5, total_steps=10, steps_per_epoch=5))
    assert method.prototypes.weight.grad is not None


def test_the_queue_is_filled_from_its_epoch_on_and_used_once_full(student, two_views) -> None:
    method = swav(student, queue=12, queue_start_epoch=1.0)
    plain = copy.deepcopy(method)
    late = Progress(step=7, total_steps=10, steps_per_epoch=5)
    method(two_views, PROGRESS)
    method.after_step(PROGRESS)
    assert int(method.queues[0].seen) == 0  # too early
    for _ in range(2):
        assert not method.queues[0].filled
        method(two_views, late)
        method.after_step(late)
    assert method.queues[0].filled
    assert not torch.equal(method.queues[0].keys, method.queues[1].keys)
    scores = method.prototypes(functional.normalize(torch.randn(6, 8), dim=-1))
    beside = method.prototypes(method.queues[0].keys)
    assert torch.equal(method._codes(scores, 0), sinkhorn(torch.cat([scores, beside]))[:6])
    assert torch.equal(plain._codes(scores, 0), sinkhorn(scores))


def test_prototypes_must_be_counted_first(student) -> None:
    with pytest.raises(ConfigError, match="resolve them before building SwAV"):
        swav(student, prototypes="auto")
