"""Batch normalisation that looks at parts of the batch apart, as GPUs that do not synchronise theirs do."""

from __future__ import annotations

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from vesalius.backbones.synced_batch_norm import SyncedBatchNorm, follow, turn_batch_norms
from vesalius.distributed import all_reduce_mean, world_size
from vesalius.errors import ConfigError

__all__ = ["GroupedBatchNorm", "GroupedBatchNormAct", "group_batch_norm"]


class GroupedBatchNorm(SyncedBatchNorm):
    """Image i of the whole batch is normalised with the images of its group, i mod `groups`, and no others.

    A process holds whole groups (row i of process r is image i * processes + r), so that one process with all groups
    computes what several do with some each. The running statistics follow the mean over all groups.
    """

    groups: int

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `[batch, channels, ...]`.

        Raises:
            ConfigError: The groups cannot be shared among the processes.
        """
        return _normalised(self, input, self.groups) if self.training else super().forward(input)


class GroupedBatchNormAct(BatchNormAct2d):
    """timm's batch norm with an activation behind it, over each group apart."""

    groups: int

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate `[batch, channels, height, width]`."""
        if not self.training:
            return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]
        out: Tensor = self.act(self.drop(_normalised(self, x, self.groups)))
        return out


def group_batch_norm(module: nn.Module, groups: int) -> None:
    """Let every batch norm in the module take its statistics over each of `groups` parts of the batch, in place."""
    for norm in turn_batch_norms(module, GroupedBatchNorm, GroupedBatchNormAct):
        norm.groups = groups  # type: ignore[assignment]


def _normalised(norm: _BatchNorm, input: Tensor, groups: int) -> Tensor:
    if groups % world_size():
        raise ConfigError(
            f"batch norm over {groups} groups, but {world_size()} processes: each holds whole groups, so they are "
            "a multiple of the processes"
        )
    own = min(groups // world_size(), len(input))  # a trial before the processes start may bring less than all groups
    out = torch.empty_like(input)
    means, variances = torch.zeros((2, own, input.shape[1]), device=input.device)
    for group in range(own):
        # With a momentum of 1 the "running" statistics are this group's.
        running = means[group], variances[group]
        out[group::own] = functional.batch_norm(
            input[group::own], *running, norm.weight, norm.bias, training=True, momentum=1.0, eps=norm.eps
        )
    follow(norm, all_reduce_mean(means.mean(0)), all_reduce_mean(variances.mean(0)))
    return out
