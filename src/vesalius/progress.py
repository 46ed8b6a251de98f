"""A progress bar for work that is counted, and what it will cost said before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar", "say"]


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


def say(text: str, *, show: bool) -> None:
    """Say a line on standard error."""
    if show:
        from rich.console import Console

        Console(stderr=True).print(text, highlight=False)
