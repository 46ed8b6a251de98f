"""Which view is compared with which."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["pairs_of_views"]


def pairs_of_views(views: int, teacher_views: int) -> Iterator[tuple[int, int]]:
    """Yield (student view, teacher view) of every pair of different views; the teacher sees the first ones alone."""
    return ((one, other) for one in range(views) for other in range(teacher_views) if one != other)
