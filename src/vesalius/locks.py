"""Who may work at something: one process at a time, over all machines that share the folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock; two processes at once are then the user's business
    fcntl = None  # type: ignore[assignment]

__all__ = ["holding"]


@contextmanager
def holding(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock file while the block runs, against other processes; one that dies lets it go.

    Args:
        path: The lock file; its folder is made.
        wait: Until it is free; otherwise the block learns by `False` that another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        yield fcntl is None or _taken(file.fileno(), wait=wait)


def _taken(file: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
