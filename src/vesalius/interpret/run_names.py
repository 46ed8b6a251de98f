"""What runs are called beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vesalius.errors import ConfigError

__all__ = ["run_names"]


def run_names(runs: Sequence[Path]) -> list[str]:
    """Return the last parts of the runs' paths, as many as tell them apart.

    Raises:
        ConfigError: The same run twice.
    """
    whole = [run.resolve() for run in runs]
    for run in whole:
        if whole.count(run) > 1:
            raise ConfigError(f"{run.name}: named twice; compare a run with others")
    for parts in range(1, max(len(run.parts) for run in whole) + 1):
        names = ["/".join(run.parts[-parts:]) for run in whole]
        if len(set(names)) == len(names):
            return names
    return [str(run) for run in whole]
