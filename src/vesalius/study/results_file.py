"""What was scored of one training, in a file; tables ask for the same one for every cell, so what was read stays."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from vesalius.records.result import Result

__all__ = ["read_results"]


def read_results(file: Path) -> list[Result]:
    """Read the results of one task, of every label it was scored on; a file that was replaced is read again.

    Raises:
        OSError: There is no such file.
        KeyError, TypeError, ValueError: These are no results.
    """
    state = file.stat()
    return list(_parsed(file, state.st_ino, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=1024)
def _parsed(file: Path, *_state: int) -> tuple[Result, ...]:
    return tuple(Result.from_dict(one) for one in json.loads(file.read_text(encoding="utf-8")))
