"""What took long to compute, kept by a digest of everything it was computed from."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vesalius.atomic import replacing
from vesalius.locks import holding

__all__ = ["MadeElsewhereError", "digest_of", "free_ones_first", "kept_arrays"]

_DAMAGED = (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)

_Arrays = Mapping[str, npt.NDArray[Any]]
_Done = TypeVar("_Done")


class MadeElsewhereError(Exception):
    """Another process makes the arrays at this moment, and waiting was not asked for."""


def digest_of(what: Any, *arrays: npt.NDArray[Any]) -> str:
    """Return a file name for what is computed from `what`, by its `repr`, and from these arrays."""
    digest = hashlib.sha256(repr(what).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:24]


def kept_arrays(
    path: Path,
    compute: Callable[[], _Arrays],
    *,
    found: Callable[[], None] = lambda: None,
    renew: bool = False,
    wait: bool = True,
) -> _Arrays:
    """Return the arrays kept in a file, or compute and keep them there, whole or not at all.

    A file cut short by a full disk or a copy that broke off is made again. Of processes that want the same file one
    makes it.

    Args:
        path: Of the file.
        compute: Makes the arrays.
        found: Called where they need not be made, so that a progress bar moves on.
        renew: Make them in any case.
        wait: Until another process has made them.

    Raises:
        MadeElsewhereError: It makes them now, and `wait` is false.
    """
    kept = None if renew else _read(path)
    if kept is None:
        with holding(path.parent / ".locks" / path.stem, wait=wait) as free:
            if not free:
                raise MadeElsewhereError(path)
            kept = None if renew else _read(path)
            if kept is None:
                return _made(path, compute())
    found()
    return kept


def _made(path: Path, arrays: _Arrays) -> _Arrays:
    with replacing(path, shared=True) as partial, partial.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    return arrays


def free_ones_first(count: int, do: Callable[[int, bool], _Done]) -> list[_Done]:
    """Do things in their order, those that another process is at when the others are done.

    Args:
        count: How many.
        do: Does one by its place, waiting for others or not; it may raise `MadeElsewhereError` where it does not wait.
    """
    done: dict[int, _Done] = {}
    for place in range(count):
        with contextlib.suppress(MadeElsewhereError):
            done[place] = do(place, False)
    return [done[place] if place in done else do(place, True) for place in range(count)]


def _read(path: Path) -> _Arrays | None:
    if path.is_file():
        # numpy leaves a damaged file open that it opened itself.
        with contextlib.suppress(*_DAMAGED), path.open("rb") as file, np.load(file, allow_pickle=False) as there:
            return {name: there[name] for name in there.files}
    return None
