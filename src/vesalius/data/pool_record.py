"""Which images a pretraining had, as hashed ids, so that an evaluation can say which of its own it saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.atomic import replacing
from vesalius.data.store import Store

__all__ = ["count_seen", "read_pool", "write_pool"]

_COLUMNS = ("patient", "pixel_sha256")
_NO_IMAGE = pd.DataFrame({name: pd.Series(dtype=str) for name in _COLUMNS})


def write_pool(path: Path, parts: Sequence[tuple[Store, npt.NDArray[np.int64]]]) -> None:
    """Write `patient` and `pixel_sha256` of every image, whole or not at all; no name of a file or a person."""
    tables = [store.manifest[list(_COLUMNS)].iloc[rows] for store, rows in parts]
    with replacing(path) as partial:
        (pd.concat(tables, ignore_index=True) if tables else _NO_IMAGE).to_parquet(partial, index=False)


def read_pool(path: Path) -> pd.DataFrame | None:
    """Read what `write_pool` wrote; None where a run has no record, or one that cannot be read."""
    try:
        return pd.read_parquet(path, columns=list(_COLUMNS))
    except (OSError, ValueError, KeyError):
        return None


def count_seen(pool: pd.DataFrame, scored: pd.DataFrame) -> dict[str, int]:
    """Count what of the scored images the pretraining had.

    A patient is found by the pseudonym, which agrees only among stores of one salt, or by an image with equal pixels.

    Args:
        pool: From `read_pool`.
        scored: Rows of a manifest.

    Returns:
        `test_images` of `of_images` with equal pixels in the pool; `test_patients` of `of_patients` with any image.
    """
    image = scored["pixel_sha256"].isin(pool["pixel_sha256"])
    patient = scored.loc[image | scored["patient"].isin(pool["patient"]), "patient"]
    return {
        "test_images": int(image.sum()),
        "test_patients": int(patient.nunique()),
        "of_images": len(scored),
        "of_patients": int(scored["patient"].nunique()),
    }
