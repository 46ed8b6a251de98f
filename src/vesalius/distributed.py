"""What a loss needs to know of the other processes; every function is the identity in a single one."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "all_reduce_max",
    "all_reduce_mean",
    "all_reduce_sum",
    "divisor_of",
    "gather_rows",
    "is_first_process",
    "own_rows",
    "rank",
    "world_size",
]


def world_size() -> int:
    """Number of training processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Index of this process."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_first_process() -> bool:
    """Say whether the launcher (torchrun, SLURM, Lightning) started this process as the first, before they are joined.

    It tells nothing where only one process takes part in a training: a SLURM task of its own has a number too.
    """
    if "RANK" in os.environ:
        return int(os.environ["RANK"]) == 0
    if "SLURM_PROCID" in os.environ and "LOCAL_RANK" not in os.environ:
        return int(os.environ["SLURM_PROCID"]) == 0
    return all(int(os.environ.get(name, "0")) == 0 for name in ("NODE_RANK", "LOCAL_RANK"))


def all_reduce_mean(value: Tensor) -> Tensor:
    """Mean of `value` over all processes, without gradient."""
    return value if world_size() == 1 else all_reduce_sum(value) / world_size()


@torch.no_grad()
def all_reduce_sum(value: Tensor) -> Tensor:
    """Sum of `value` over all processes, without gradient."""
    if world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


def divisor_of(count: Tensor) -> Tensor:
    """Return what each process divides its own sum by, so that the mean over processes is the mean of all that counts.

    At least one thing counts, which keeps a sum of nothing at 0.
    """
    return all_reduce_sum(count).clamp_min(1) / world_size()


@torch.no_grad()
def all_reduce_max(value: Tensor) -> Tensor:
    """Largest `value` over all processes, without gradient."""
    if world_size() == 1:
        return value
    largest = value.clone()
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows of all processes in the order of the whole batch, with gradients to each process's own.

    Row i of process r is image i * processes + r of the batch (`vesalius.data.batches`). A loss that every process
    computes of all rows gives, with the gradients averaged over processes, what one process would give.
    """
    return rows if world_size() == 1 else _Gather.apply(rows)


def own_rows(count: int, device: torch.device | None = None) -> Tensor:
    """Return the places of this process's `count` rows in what `gather_rows` returns."""
    return torch.arange(count, device=device) * world_size() + rank()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return all_reduce_sum(gradient)[own_rows(ctx.count, gradient.device)]
