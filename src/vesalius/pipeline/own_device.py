"""Which GPU a process of several takes: the first that the fewest others hold."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path

from vesalius.locks import holding

__all__ = ["take_device"]

_held = ExitStack()
"""Holds the lock of this process's GPU until it ends."""

_taken: set[Path] = set()


def take_device(locks: Path, processes: int) -> int | None:
    """Let this process see one GPU alone, where there are several; it keeps it until it ends.

    Must be called before anything of CUDA is used. What `CUDA_VISIBLE_DEVICES` says already is kept to.

    Args:
        locks: Folder that all processes of the study share.
        processes: How many there are at most; with more of them than GPUs, these are shared evenly.

    Returns:
        The number of the GPU among those that could be seen; None where there is at most one, or all are held.
    """
    import torch

    count = torch.cuda.device_count()
    if count < 2 or locks in _taken:
        return None
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = names if len(names) == count else [str(number) for number in range(count)]
    for turn in range(-(-processes // count)):
        for number in range(count):
            if _held.enter_context(holding(locks / f"{socket.gethostname()}-gpu{number}-{turn}")):
                _taken.add(locks)
                os.environ["CUDA_VISIBLE_DEVICES"] = names[number]
                return number
    return None
