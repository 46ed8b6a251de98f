"""A progress bar for work that is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar"]


@contextmanager
def bar(what: str, total: int, *, show: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error and give a function that advances it."""
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        one = bar.add_task(what, total=total)
        yield lambda count: bar.advance(one, count)
