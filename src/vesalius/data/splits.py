"""Dividing images into train, val and test so that no patient is on two sides."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.errors import SplitError

__all__ = ["SPLITS", "ImageSplitWarning", "check_no_overlap", "folds_by_patient", "split_by_image", "split_by_patient"]

SPLITS = ("train", "val", "test")

_Class = tuple[int, str]
_Labels = pd.DataFrame | npt.NDArray[Any] | Sequence[Any] | None


class ImageSplitWarning(UserWarning):
    """Images of one patient may be on both sides, so scores will look better than they are."""


@dataclass(frozen=True, slots=True)
class _Patient:
    """How many images a patient has, in all and of each class of each label."""

    name: str
    images: int
    classes: Counter[_Class] = field(default_factory=Counter)


def split_by_patient(
    patients: Sequence[str] | npt.NDArray[Any],
    labels: _Labels = None,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> npt.NDArray[Any]:
    """Give every image `train`, `val` or `test`, all images of a patient the same, stratified by the labels.

    Iterative stratification (Sechidis et al., "On the stratification of multi-label data", 2011) over patients
    instead of images: patients with the rarest class first, each to the side that still lacks most of that class,
    among the sides that still lack images. Each side's image count is thereby within twice the images of the largest
    patient of its share (three times where a side would have stayed empty), and the outcome depends on who has which
    labels and on the seed, not on the order of the rows.

    Args:
        patients: One id an image.
        labels: None, one value an image, or a table with one row an image and one column a label. Missing is a class.
        fractions: Shares of the images for train, val and test; they add up to 1.
        seed: Another seed, another draw.

    Returns:
        One of `SPLITS` for each image.

    Raises:
        SplitError: For fractions that do not add up to 1, or fewer patients than sides.
    """
    if len(fractions) != len(SPLITS):
        raise SplitError(f"three fractions are needed (train, val, test), got {list(fractions)}")
    side = _assign(_as_names(patients), labels, fractions=fractions, seed=seed)
    return np.asarray(SPLITS)[side]


def folds_by_patient(
    patients: Sequence[str] | npt.NDArray[Any], labels: _Labels = None, *, folds: int = 5, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Give every image a fold 0 .. folds - 1, all images of a patient the same; see `split_by_patient`.

    Raises:
        SplitError: For fewer than two folds, or fewer patients than folds.
    """
    if folds < 2:
        raise SplitError(f"at least two folds are needed, got {folds}")
    return _assign(_as_names(patients), labels, fractions=[1 / folds] * folds, seed=seed)


def split_by_image(
    images: Sequence[str] | npt.NDArray[Any],
    labels: _Labels = None,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> npt.NDArray[Any]:
    """Split as if every image were a patient of its own; leaks patients between the sides, and warns of it.

    Args:
        images: One unique id an image.
        labels: See `split_by_patient`.
        fractions: See `split_by_patient`.
        seed: See `split_by_patient`.

    Raises:
        SplitError: As `split_by_patient`.
    """
    warnings.warn(
        "split by image: images of one patient may be on both sides, so scores will look better than they are; "
        "use split='patient' for anything you report",
        ImageSplitWarning,
        stacklevel=2,
    )
    return split_by_patient(images, labels, fractions=fractions, seed=seed)


def check_no_overlap(
    patients: Sequence[str] | npt.NDArray[Any], splits: Sequence[Any] | npt.NDArray[Any], *, advice: str = ""
) -> None:
    """Make sure that every patient is on one side only.

    Args:
        patients: One id an image.
        splits: The side of each image.
        advice: What the user can do, added to the message.

    Raises:
        SplitError: With how many patients are on two sides, between which, and how many images they have.
    """
    if len(patients) != len(splits):
        raise SplitError(f"{len(patients)} patients do not go with {len(splits)} splits")
    sides: dict[str, set[str]] = {}
    for patient, side in zip(patients, splits, strict=True):
        sides.setdefault(str(patient), set()).add(str(side))
    shared = {patient: " and ".join(sorted(where)) for patient, where in sides.items() if len(where) > 1}
    if shared:
        between = ", ".join(f"{count} in {where}" for where, count in sorted(Counter(shared.values()).items()))
        images = sum(str(patient) in shared for patient in patients)
        raise SplitError(
            f"{len(shared)} of {len(sides)} patients ({images} images) are on more than one side: {between}"
            + (f". {advice}" if advice else "")
        )


def _as_names(values: Sequence[str] | npt.NDArray[Any]) -> list[str]:
    return [str(value) for value in values]


def _assign(names: list[str], labels: _Labels, *, fractions: Sequence[float], seed: int) -> npt.NDArray[np.int64]:
    """Return the side of each image, an index into `fractions`."""
    shares = np.asarray(fractions, dtype=np.float64)
    if (shares < 0).any() or not math.isclose(float(shares.sum()), 1.0, abs_tol=1e-6):
        raise SplitError(f"fractions must be positive and add up to 1, got {list(fractions)}")
    patients = _gather(names, labels)
    wanted = int((shares > 0).sum())
    if len(patients) < wanted:
        raise SplitError(
            f"{len(patients)} patients cannot be divided among {wanted} sides; give more, or use fewer sides"
        )
    totals: Counter[_Class] = Counter()
    for patient in patients:
        totals.update(patient.classes)
    keys = {patient.name: _key(seed, patient.name) for patient in patients}

    def rarest(patient: _Patient) -> tuple[int, _Class]:
        return min((totals[known], known) for known in patient.classes)

    patients.sort(key=lambda patient: (rarest(patient), -patient.images, keys[patient.name]))
    side_of = _deal(patients, [rarest(patient)[1] for patient in patients], totals, shares)
    _fill_empty(patients, side_of, shares, keys)
    return np.asarray([side_of[name] for name in names], dtype=np.int64)


def _gather(names: list[str], labels: _Labels) -> list[_Patient]:
    columns = _label_columns(labels, len(names))
    patients: dict[str, _Patient] = {}
    for row, name in enumerate(names):
        known = patients.get(name)
        images = 1 + (known.images if known else 0)
        patient = _Patient(name, images, known.classes if known else Counter())
        patient.classes.update((number, column[row]) for number, column in enumerate(columns))
        patients[name] = patient
    return list(patients.values())


def _label_columns(labels: _Labels, rows: int) -> list[list[str]]:
    """Return the classes as text, one list a label; without labels all images are of one class."""
    table = pd.DataFrame(index=range(rows)) if labels is None else pd.DataFrame(labels)
    if len(table) != rows:
        raise SplitError(f"{len(table)} labels do not go with {rows} images")
    if table.shape[1] == 0:
        return [[""] * rows]
    return [[_class_name(value) for value in table.iloc[:, number]] for number in range(table.shape[1])]


def _class_name(value: Hashable) -> str:
    missing = value is None or value is pd.NA or (isinstance(value, (float, np.floating)) and math.isnan(value))
    return "missing" if missing else str(value)


def _key(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\x00{name}".encode("utf-8", "surrogateescape")).hexdigest()


def _deal(
    patients: list[_Patient], rarest: list[_Class], totals: Counter[_Class], shares: npt.NDArray[np.float64]
) -> dict[str, int]:
    """Hand the patients out, each to the side that lacks most of its rarest class among those that lack images."""
    lack = sum(patient.images for patient in patients) * shares
    lack_class = {known: count * shares for known, count in totals.items()}
    side_of: dict[str, int] = {}
    for patient, known in zip(patients, rarest, strict=True):
        open_sides = [side for side in range(len(shares)) if lack[side] > 1e-9]
        of_class = lack_class[known]
        chosen = max(open_sides, key=lambda side: (round(float(of_class[side]), 6), round(float(lack[side]), 6), -side))
        lack[chosen] -= patient.images
        for each, count in patient.classes.items():
            lack_class[each][chosen] -= count
        side_of[patient.name] = chosen
    return side_of


def _fill_empty(
    patients: list[_Patient], side_of: dict[str, int], shares: npt.NDArray[np.float64], keys: dict[str, str]
) -> None:
    """Give a side that got nobody the smallest patient of the side that has most patients."""
    for side in range(len(shares)):
        counts = Counter(side_of.values())
        if shares[side] > 0 and counts[side] == 0:
            donor = max(counts, key=lambda other: (counts[other], -other))
            here = [patient for patient in patients if side_of[patient.name] == donor]
            side_of[min(here, key=lambda patient: (patient.images, keys[patient.name])).name] = side
