"""Telling how far preparing is and how long it will take, on a terminal or in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from vesalius.data.array_writer import human_bytes

__all__ = ["Progress"]

_LOG_EVERY_SECONDS = 15.0


class Progress:
    """A bar with the time left on a terminal, a line every 15 seconds elsewhere, nothing where not wanted.

    Args:
        title: The data set.
        total: Images in all.
        done: Images that an earlier run did.
        expected: Bytes that will be written.
        shown: Whether to say anything.
    """

    def __init__(self, title: str, *, total: int, done: int, expected: int, shown: bool) -> None:
        self.done = done
        self._total, self._first, self._refused = total, done, 0
        self._shown = shown
        self._console = Console(file=sys.stderr, highlight=False)
        self._start = self._said = time.monotonic()
        self._bar: Bar | None = None
        if not shown:
            return
        before = f", {done} of them already decoded" if done else ""
        self._console.print(
            f"{title}: {total} images{before}; the store will take about {human_bytes(expected)} more", soft_wrap=True
        )
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, TextColumn("left"), TimeRemainingColumn(), console=self._console)
            self._task = self._bar.add_task("decoding", total=total, completed=done)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, images: int, *, refused: int = 0) -> None:
        """Count images as done."""
        self.done += images
        self._refused += refused
        if self._bar is not None:
            said = f"decoding ({self._refused} refused)" if self._refused else "decoding"
            self._bar.update(self._task, completed=self.done, description=said)
        elif self._shown and (time.monotonic() - self._said > _LOG_EVERY_SECONDS or self.done == self._total):
            self._said = time.monotonic()
            rate = (self.done - self._first) / max(self._said - self._start, 1e-9)
            left = (self._total - self.done) / max(rate, 1e-9)
            self._console.print(
                f"{self.done} of {self._total} images, {rate:.0f} a second, {left:.0f} s left, {self._refused} refused"
            )
