"""Batch normalisation over the batches of all processes, on CPUs too: torch's own is for GPUs alone."""

from __future__ import annotations

from typing import Any, cast

import torch
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vesalius.distributed import all_reduce_sum, world_size

__all__ = ["SyncedBatchNorm", "SyncedBatchNormAct", "follow", "synchronise_batch_norm", "turn_batch_norms"]


class SyncedBatchNorm(_BatchNorm):
    """Takes mean and variance over all processes, in the backward pass as well; alone it is plain batch norm."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `[batch, channels, ...]`."""
        together = self.training and world_size() > 1
        return _normalised(self, input) if together else super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected [batch, channels, ...], got {tuple(input.shape)}")


class SyncedBatchNormAct(BatchNormAct2d):
    """timm's batch norm with an activation behind it, over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate `[batch, channels, height, width]`."""
        together = self.training and world_size() > 1
        if not together:
            return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]
        out: Tensor = self.act(self.drop(_normalised(self, x)))
        return out


def synchronise_batch_norm(module: nn.Module, *, accelerator: str = "cpu") -> None:
    """Let every batch norm in the module take its statistics over all processes, in place.

    On CUDA timm does it, by torch's own kernels: what Lightning calls loses the activation of timm's norms.
    """
    if accelerator == "cuda":
        convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return
    turn_batch_norms(module, SyncedBatchNorm, SyncedBatchNormAct)


def turn_batch_norms(module: nn.Module, plain: type[_BatchNorm], activated: type[BatchNormAct2d]) -> list[_BatchNorm]:
    """Make torch's batch norms in the module `plain` ones, timm's with an activation `activated` ones; return them."""
    turned: list[_BatchNorm] = []
    for part in module.modules():
        if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            part.__class__ = plain
        elif type(part) is BatchNormAct2d:
            part.__class__ = activated
        else:
            continue
        turned.append(cast(_BatchNorm, part))
    return turned


def _normalised(norm: _BatchNorm, input: Tensor) -> Tensor:
    """Normalise by the mean and variance of all processes, in float32 as torch does, and follow with the running ones.

    Processes may bring batches of different sizes.
    """
    around = [axis for axis in range(input.ndim) if axis != 1]
    values = input.float()
    count = values.new_tensor([values.numel() / values.shape[1]])
    total = all_reduce_sum(count)
    mean: Tensor = _Sum.apply(values.sum(around)) / total
    shape = [1, -1, *([1] * (input.ndim - 2))]
    centred = values - mean.view(shape)
    variance: Tensor = _Sum.apply(centred.square().sum(around)) / total
    follow(norm, mean.detach(), variance.detach() * total / (total - 1))
    out = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out.to(input.dtype)


@torch.no_grad()
def follow(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics of a norm, if it keeps any, towards those of a batch `[channels]`."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """Sum over processes; the gradient of every process's loss reaches every process's input."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        del ctx
        return all_reduce_sum(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        del ctx
        return all_reduce_sum(gradient)
