"""What took long to compute, kept by a digest of everything it was computed from."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.atomic import replacing

__all__ = ["digest_of", "kept_arrays"]

_DAMAGED = (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)

_Arrays = Mapping[str, npt.NDArray[Any]]


def digest_of(what: Any, *arrays: npt.NDArray[Any]) -> str:
    """Return a file name for what is computed from `what`, by its `repr`, and from these arrays."""
    digest = hashlib.sha256(repr(what).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:24]


def kept_arrays(
    path: Path, compute: Callable[[], _Arrays], *, found: Callable[[], None] = lambda: None, renew: bool = False
) -> _Arrays:
    """Return the arrays kept in a file, or compute and keep them there, whole or not at all.

    A file cut short by a full disk or a copy that broke off is made again.

    Args:
        path: Of the file.
        compute: Makes the arrays.
        found: Called where they need not be made, so that a progress bar moves on.
        renew: Make them in any case.
    """
    kept = None if renew else _read(path)
    if kept is not None:
        found()
        return kept
    arrays = compute()
    with replacing(path, shared=True) as partial, partial.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    return arrays


def _read(path: Path) -> _Arrays | None:
    if path.is_file():
        # numpy leaves a damaged file open that it opened itself.
        with contextlib.suppress(*_DAMAGED), path.open("rb") as file, np.load(file, allow_pickle=False) as there:
            return {name: there[name] for name in there.files}
    return None
