"""Memory that a step gives back stays with the process until the training ends."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["memory_kept"]

# Of malloc.h. Once set, thresholds no longer follow what is freed: afterwards they stay at the highest that they reach
# by themselves (32 MiB to be mapped alone, twice that kept at the heap's top), as in a process that has freed a lot.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_REACHED_MMAP, _DEFAULT_MMAPS = 32 * 2**20, 65536
_NEVER = 2**31 - 1


@contextmanager
def memory_kept() -> Iterator[bool]:
    """Tell glibc's malloc, inside the context, to hand freed memory to the next request, not to the system.

    By itself it maps blocks above 32 MB anew for every request and returns the top of its heap, so that each training
    step on a CPU has its activations' pages cleared by the kernel again: 5 to 12 % of a step of a small ViT
    (docs/LOG.md). The peak is the same. Afterwards free memory is returned, and malloc is as in a process that has
    freed large blocks before. Other C libraries are left as they are.

    Yields:
        Whether the allocator took it.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield False
        return
    taken = bool(libc.mallopt(_MMAP_MAX, 0)) and bool(libc.mallopt(_TRIM_THRESHOLD, _NEVER))
    try:
        yield taken
    finally:
        libc.mallopt(_MMAP_MAX, _DEFAULT_MMAPS)
        libc.mallopt(_MMAP_THRESHOLD, _REACHED_MMAP)
        libc.mallopt(_TRIM_THRESHOLD, 2 * _REACHED_MMAP)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
