"""From runs to what a reader sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["report"]


def report(runs: Sequence[str | Path], out: str | Path, *, data: Sequence[str | Path] = ()) -> Path:
    """Write one self-contained page about one or several runs."""
    from vesalius.report.page import report as write_report

    return write_report([Path(run) for run in runs], Path(out), data=[Path(store) for store in data])
