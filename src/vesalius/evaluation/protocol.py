"""Which images a probe learns from and which it is scored on; never one patient on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Num, Shaped

from vesalius.data.splits import check_no_overlap, folds_by_patient
from vesalius.errors import ConfigError, SplitError, nearest

__all__ = ["PROTOCOLS", "Sides", "check_stores_apart", "fold_sides", "make_sides", "split_sides"]

PROTOCOLS = ("auto", "split", "folds")

_APART = "Evaluate with protocol='folds', or prepare the store again with split='patient'"
_FEWEST_TEST_PATIENTS = 200
_FEWEST_OF_A_CLASS = 10

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sides:
    """Pairs of (training positions, test positions); every test position occurs once over all pairs.

    Attributes:
        protocol: `split` or `folds`.
        pairs: Positions into the arrays of labels and features.
        reason: Why this protocol, in plain words.
    """

    protocol: str
    pairs: tuple[tuple[_Rows, _Rows], ...]
    reason: str = ""

    @property
    def test(self) -> _Rows:
        """All test positions in the order in which scores are given."""
        return np.concatenate([test for _, test in self.pairs])

    @property
    def test_folds(self) -> _Rows:
        """Number of the pair that scores each of the test positions."""
        return np.concatenate([np.full(len(test), number) for number, (_, test) in enumerate(self.pairs)])

    @property
    def train(self) -> _Rows:
        """All positions that any pair learns from, sorted."""
        return np.unique(np.concatenate([train for train, _ in self.pairs]))


def make_sides(
    split: Shaped[np.ndarray, " images"],
    labels: Num[np.ndarray, "images ..."],
    patients: Shaped[np.ndarray, " images"],
    *,
    protocol: str = "auto",
    folds: int = 5,
    seed: int = 0,
) -> Sides:
    """Choose the sides.

    `auto` takes the store's own split where its test side holds every class with at least 10 patients each and 200
    patients in all; a smaller one gives intervals too wide to tell anything, and folds score every image once.

    Args:
        split: `train`, `val` or `test` of each image; val learns with train, since nothing is tuned on it here.
        labels: Class index, or 0/1/NaN a label.
        patients: Patient of each image.
        protocol: `auto`, `split` or `folds`.
        folds: How many.
        seed: Of the folds.

    Raises:
        ConfigError: Unknown protocol.
        SplitError: A patient on both sides, an empty side, or too few patients for the folds.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol '{protocol}'{nearest(protocol, PROTOCOLS)}; known: {', '.join(PROTOCOLS)}")
    if protocol == "split":
        return split_sides(split, patients, reason="the store's own split, as asked")
    if protocol == "folds":
        return fold_sides(labels, patients, folds=folds, seed=seed, reason=f"{folds} folds by patient, as asked")
    test = split == "test"
    if test.any() and not test.all():
        total = len(np.unique(patients[test]))
        fewest = _fewest_of_a_class(labels, patients, test)
        if total >= _FEWEST_TEST_PATIENTS and fewest >= _FEWEST_OF_A_CLASS:
            return split_sides(split, patients, reason=f"the store's own split, {total} patients in its test side")
        reason = f"{folds} folds by patient: the store's test side holds {total} patients, {fewest} of the rarest class"
    else:
        reason = f"{folds} folds by patient: the label is on one side of the store's split only"
    return fold_sides(labels, patients, folds=folds, seed=seed, reason=reason)


def split_sides(
    split: Shaped[np.ndarray, " images"], patients: Shaped[np.ndarray, " images"], *, reason: str = ""
) -> Sides:
    """Learn from `train` and `val`, score `test`.

    Raises:
        SplitError: An empty side, or a patient on both.
    """
    test = split == "test"
    if not test.any() or test.all():
        empty = "training" if test.all() else "test"
        raise SplitError(f"the {empty} side holds no image with this label; use protocol='folds'")
    check_no_overlap(patients, np.where(test, "test", "train"), advice=_APART)
    return Sides("split", ((np.flatnonzero(~test), np.flatnonzero(test)),), reason)


def fold_sides(
    labels: Num[np.ndarray, "images ..."],
    patients: Shaped[np.ndarray, " images"],
    *,
    folds: int = 5,
    seed: int = 0,
    reason: str = "",
) -> Sides:
    """Score each fold with what was learned on the others; whole patients, stratified by label."""
    fold = folds_by_patient(patients, labels, folds=folds, seed=seed)
    pairs = tuple((np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(folds))
    return Sides("folds", pairs, reason)


def check_stores_apart(
    train: dict[str, Shaped[np.ndarray, " train"]], test: dict[str, Shaped[np.ndarray, " test"]]
) -> None:
    """Make sure that nothing is learned from what another store is scored on.

    Args:
        train: Columns `patient` (where both stores share the salt, so that equal ids mean equal patients) and
            `pixel_sha256` of the training rows; a column missing on either side is not compared.
        test: The same of the test rows.

    Raises:
        SplitError: With how many patients or identical images are in both.
    """
    for column, what in (("patient", "patients"), ("pixel_sha256", "identical images")):
        if column in train and column in test:
            shared = np.intersect1d(train[column], test[column])
            if len(shared):
                raise SplitError(
                    f"{len(shared)} {what} are in both stores, so the test side is not unseen; "
                    "leave them out of one, or evaluate on one store by folds"
                )


def _fewest_of_a_class(
    labels: Num[np.ndarray, "images ..."], patients: Shaped[np.ndarray, " images"], test: Shaped[np.ndarray, " images"]
) -> int:
    """Count the test patients of the class that has fewest."""
    if labels.ndim == 2:
        members = [labels[:, c] == value for c in range(labels.shape[1]) for value in (0, 1)]
    else:
        members = [labels == value for value in np.unique(labels)]
    return min(len(np.unique(patients[test & member])) for member in members if member.any())
