"""Every group of a batch is normalised as a plain batch norm would alone; running statistics follow their mean."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from vesalius.backbones.grouped_batch_norm import group_batch_norm
from vesalius.errors import ConfigError

KINDS = {
    "1d": lambda: nn.BatchNorm1d(4),
    "plain": lambda: nn.BatchNorm1d(4, affine=False, track_running_stats=False),
    "2d": lambda: nn.BatchNorm2d(4, momentum=None),
    "act": lambda: BatchNormAct2d(4),
}


def _input(kind: str) -> torch.Tensor:
    shape = (12, 4) if kind in ("1d", "plain") else (12, 4, 3, 2)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3 + 1


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_normalised_apart(kind: str, groups: int) -> None:
    norm = KINDS[kind]()
    alone = [copy.deepcopy(norm) for _ in range(groups)]
    group_batch_norm(norm, groups)
    x, theirs = _input(kind).requires_grad_(), _input(kind).requires_grad_()
    out = norm(x)
    wanted = torch.empty_like(out)
    for number, one in enumerate(alone):
        wanted[number::groups] = one(theirs[number::groups])
    torch.testing.assert_close(out, wanted)
    (out * torch.cos(x.detach())).sum().backward()
    (wanted * torch.cos(x.detach())).sum().backward()
    torch.testing.assert_close(x.grad, theirs.grad)
    for name, value in norm.named_buffers():
        others = torch.stack([dict(one.named_buffers())[name].float() for one in alone])
        torch.testing.assert_close(value.float(), others.mean(0))
    for name, parameter in norm.named_parameters():
        torch.testing.assert_close(parameter.grad, sum(dict(one.named_parameters())[name].grad for one in alone))


def test_evaluation_takes_the_running_statistics() -> None:
    norm = nn.BatchNorm2d(4)
    norm.running_mean.copy_(torch.arange(4.0))
    plain = copy.deepcopy(norm).eval()
    group_batch_norm(norm, 3)
    torch.testing.assert_close(norm.eval()(_input("2d")), plain(_input("2d")))


def test_half_precision_and_memory_format_stay() -> None:
    norm = nn.BatchNorm2d(4)
    group_batch_norm(norm, 3)
    x = _input("2d").bfloat16().contiguous(memory_format=torch.channels_last)
    out = norm(x)
    assert out.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out.float(), norm(x.float()), atol=0.05, rtol=0.05)


def test_groups_that_the_processes_cannot_share_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    norm = nn.BatchNorm2d(4)
    group_batch_norm(norm, 5)
    monkeypatch.setattr("vesalius.backbones.grouped_batch_norm.world_size", lambda: 2)
    with pytest.raises(ConfigError, match="5 groups, but 2 processes"):
        norm(_input("2d"))


def test_fewer_images_than_groups_are_taken_one_by_one() -> None:
    norm, alone = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    group_batch_norm(norm, 20)
    x = _input("2d")
    torch.testing.assert_close(norm(x), torch.cat([alone(one[None]) for one in x]))
