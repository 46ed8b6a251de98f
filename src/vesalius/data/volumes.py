"""Which images of a store are the slices of one volume, in their order, and how large its voxels are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.data.store import Store

__all__ = ["Volume", "Volumes", "volumes_of"]

_UNEVEN = 0.05
"""Share of their mean that gaps may differ by: positions are rounded; where one is missing the gap is twice."""

_PLACED_ALIKE = ["scale_x", "scale_y", "offset_x", "offset_y", "spacing_x_mm", "spacing_y_mm"]


@dataclass(frozen=True, slots=True)
class Volume:
    """The slices of one volume.

    Attributes:
        rows: Of the store, by position along the volume.
        spacing_mm: (slice, row, column) distance of the store's pixels, not of the source's.
    """

    rows: npt.NDArray[np.int64]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Volumes:
    """What the rows are slices of.

    Attributes:
        whole: Volumes whose slices follow one another evenly, by their first row.
        left: Images in none of them.
        why: What keeps those out; empty where there are none.
        slices: Whether any image is known to be one of several of its volume or file.
    """

    whole: tuple[Volume, ...]
    left: int
    why: str
    slices: bool


def volumes_of(store: Store, rows: npt.NDArray[np.int64]) -> Volumes:
    """Put rows together to volumes: those of one patient and `volume`, as they were prepared.

    Slices that are asked for with one between them that is not (refused, a duplicate, without a mask) are no volume.

    Args:
        store: A store.
        rows: Of it.
    """
    table = store.manifest.iloc[rows].reset_index(drop=True)
    slices = bool((table["frame"] > 0).any())  # of older stores all that is known
    if "slice_mm" not in table:
        why = f"{store.path.name} was prepared before positions of slices were kept: prepare it again to have them"
        return Volumes((), len(rows), why, slices)
    known = table["volume"].notna().to_numpy(dtype=bool)
    wrong = Counter({"tell no position of the slice": int((~known).sum())})
    whole = []
    for _, unordered in table[known].groupby(["patient", "volume"], sort=False):
        own = unordered.sort_values("slice_mm", kind="stable")
        slices = slices or len(own) > 1
        why = _wrong(own)
        if why:
            wrong[why] += len(own)
        else:
            whole.append(Volume(rows[own.index.to_numpy()], _spacing(own)))
    reasons = [f"{count} {reason}" for reason, count in wrong.items() if count]
    told = f"of {len(rows)} images {'; '.join(reasons)}" if reasons else ""
    return Volumes(tuple(sorted(whole, key=lambda one: one.rows.min())), wrong.total(), told, slices)


def _wrong(own: pd.DataFrame) -> str:
    """Say what is wrong with the slices of one volume in their order, or nothing."""
    if own[["spacing_x_mm", "spacing_y_mm"]].isna().any(axis=None):
        return "tell no spacing of the pixels"
    if len(own) == 1:
        return "are the only slice of their volume"
    if own[_PLACED_ALIKE].nunique().gt(1).any():
        return "have not the size of other slices of their volume"
    gaps = _gaps(own)
    uneven = (gaps <= 0) | (np.abs(gaps - gaps.mean()) > _UNEVEN * gaps.mean())
    return "are of volumes with slices missing, unevenly apart, or several at one place" if uneven.any() else ""


def _spacing(own: pd.DataFrame) -> tuple[float, float, float]:
    first = own.iloc[0]
    row_mm, column_mm = (float(first[f"scale_{one}"] * first[f"spacing_{one}_mm"]) for one in "yx")
    return float(_gaps(own).mean()), row_mm, column_mm


def _gaps(own: pd.DataFrame) -> npt.NDArray[np.float64]:
    return np.diff(own["slice_mm"].to_numpy(dtype=np.float64))
