"""What a loss needs to know of the other processes; every function is the identity in a single one."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["all_reduce_mean", "is_first_process", "rank", "world_size"]


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


@torch.no_grad()
def all_reduce_mean(value: Tensor) -> Tensor:
    """Mean of `value` over all processes, without gradient."""
    if world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / world_size()
