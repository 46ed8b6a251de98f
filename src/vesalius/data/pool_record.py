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
_KEY = "pseudonyms"  # which of them agree; runs of before it was kept lack the column
_NO_IMAGE = pd.DataFrame({name: pd.Series(dtype=str) for name in (*_COLUMNS, _KEY)})


def write_pool(path: Path, parts: Sequence[tuple[Store, npt.NDArray[np.int64]]]) -> None:
    """Write `patient` and `pixel_sha256` of every image, whole or not at all; no name of a file or a person.

    `pseudonyms` is the same where pseudonyms of patients agree, and empty where the patient is not known.
    """
    tables = [_table(store, store.manifest.iloc[rows]) for store, rows in parts]
    with replacing(path) as partial:
        (pd.concat(tables, ignore_index=True) if tables else _NO_IMAGE).to_parquet(partial, index=False)


def read_pool(path: Path) -> pd.DataFrame | None:
    """Read what `write_pool` wrote; None where a run has no record, or one that cannot be read."""
    try:
        table = pd.read_parquet(path)
        return table[list(_COLUMNS)].assign(**{_KEY: table.get(_KEY, "")})
    except (OSError, ValueError, KeyError):
        return None


def count_seen(pool: pd.DataFrame, store: Store, rows: npt.NDArray[np.int64]) -> dict[str, int]:
    """Count what of the scored images the pretraining had.

    A patient is found by the pseudonym, which agrees only among stores of one salt and data set, or by an image with
    equal pixels.

    Args:
        pool: From `read_pool`.
        store: Which is scored.
        rows: Those of its images that are.

    Returns:
        `test_images` of `of_images` with equal pixels in the pool; `test_patients` of `of_patients` with any image;
        `patients_compared`, whether all pseudonyms of both agree: if not, further patients may have been seen.
    """
    scored = store.manifest.iloc[rows]
    image = scored["pixel_sha256"].isin(pool["pixel_sha256"])
    patient = scored.loc[image | scored["patient"].isin(pool["patient"]), "patient"]
    return {
        "test_images": int(image.sum()),
        "test_patients": int(patient.nunique()),
        "of_images": len(scored),
        "of_patients": int(scored["patient"].nunique()),
        "patients_compared": not len(pool) or _agree(pool, _table(store, scored)),
    }


def _agree(pool: pd.DataFrame, scored: pd.DataFrame) -> bool:
    keys = {*pool[_KEY], *scored[_KEY]}
    return len(keys) == 1 and "" not in keys


def _table(store: Store, about: pd.DataFrame) -> pd.DataFrame:
    options = store.info.get("options", {})
    salt, dataset = options.get("salt_id"), options.get("dataset")
    # Stores of before salts were told apart agree with themselves alone.
    key = f"salt {salt}, data set {dataset}" if salt and dataset else f"store {store.fingerprint}"
    return about[list(_COLUMNS)].assign(**{_KEY: np.where(about["patient_known"].to_numpy(dtype=bool), key, "")})
