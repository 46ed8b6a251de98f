"""No file, whatever its name, is both learned from and scored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from vesalius.errors import SplitError

__all__ = ["check_files_apart"]

_NAMED = 3


def check_files_apart(learned: Iterable[Path], scored: Iterable[Path], *, root: Path, advice: str) -> None:
    """Compare files byte for byte; those of a size that the other side has not are not read.

    Args:
        learned: Files that are learned from.
        scored: Files that are scored.
        root: What the message names them from.
        advice: What can be done.

    Raises:
        SplitError: Some are the same; a few are named.
    """
    files = [(path, path.stat()) for path in scored]
    sizes = {stat.st_size for _, stat in files}
    mine = [(path, stat) for path in learned if (stat := path.stat()).st_size in sizes]
    sizes = {stat.st_size for _, stat in mine}
    known = {_digest(path, stat.st_mtime_ns): path for path, stat in files if stat.st_size in sizes}
    same = [(path, known[key]) for path, stat in mine if (key := _digest(path, stat.st_mtime_ns)) in known]
    if same:
        named = ", ".join(" = ".join(str(one.relative_to(root)) for one in pair) for pair in same[:_NAMED])
        more = f" and {len(same) - _NAMED} more" if len(same) > _NAMED else ""
        raise SplitError(
            f"{root}: {len(same)} images that are learned from are scored as well, byte for byte: {named}{more}; "
            f"{advice}"
        )


@lru_cache(maxsize=2**16)
def _digest(path: Path, _modified: int) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
