"""Draws of some of the labels: by patient, stratified, nested, with every class in each share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Num, Shaped

from vesalius.errors import LabelError
from vesalius.evaluation.amounts import ALL, in_order, is_count

__all__ = ["deal_patients", "draw_label_amounts", "hold_out", "patient_strata"]


def patient_strata(
    patients: Shaped[np.ndarray, " images"], labels: Num[np.ndarray, "images ..."]
) -> tuple[Int[np.ndarray, " images"], Int[np.ndarray, " patients"], Int[np.ndarray, "images classes"]]:
    """Place each patient in the stratum of the rarest class among its images.

    For multi-label labels (two dimensions) a class is a positive label, and a patient without any is a stratum too.

    Returns:
        The patient number of each image, the stratum of each patient number, and which classes each image holds (for
        multi-label, positives then negatives).
    """
    names, code = np.unique(patients, return_inverse=True)
    code = code.reshape(-1)
    if labels.ndim == 2:
        holds = np.concatenate([labels > 0.5, labels <= 0.5], axis=1)
        strata_of = np.concatenate([labels > 0.5, ~(labels > 0.5).any(axis=1, keepdims=True)], axis=1)
    else:
        holds = strata_of = labels.astype(int)[:, None] == np.unique(labels.astype(int))[None, :]
    member = np.zeros((len(names), strata_of.shape[1]), dtype=bool)
    np.logical_or.at(member, code, strata_of)
    size = np.where(member, member.sum(axis=0)[None, :], len(names) + 1)
    return code, size.argmin(axis=1), holds.astype(np.int64)


def deal_patients(
    patients: Shaped[np.ndarray, " images"], labels: Num[np.ndarray, "images ..."], *, folds: int, seed: int
) -> Int[np.ndarray, " images"]:
    """Deal whole patients to folds like cards, stratum by stratum; return the fold of each image."""
    code, stratum, _ = patient_strata(patients, labels)
    order = np.random.default_rng(seed).permutation(len(stratum))
    order = order[np.argsort(stratum[order], kind="stable")]
    fold = np.empty(len(stratum), dtype=np.int64)
    fold[order] = np.arange(len(stratum)) % folds
    return np.asarray(fold[code])


def hold_out(
    patients: Shaped[np.ndarray, " images"],
    labels: Num[np.ndarray, "images ..."],
    split: Shaped[np.ndarray, " images"],
    *,
    protocol: str,
    share: float,
    seed: int,
) -> Bool[np.ndarray, " images"]:
    """Say which images of a training side choose rather than teach, the same for every arm and amount of labels.

    That is a store's own `val` side where the sides are the store's; else a share of the patients.

    Args:
        patients: Of the training side's images.
        labels: For the strata.
        split: The store's side of each.
        protocol: How the sides were made.
        share: Of the patients.
        seed: Of the deal.
    """
    own = split == "val"
    if protocol != "folds" and own.any() and not own.all():
        return np.asarray(own)
    return np.asarray(deal_patients(patients, labels, folds=max(2, round(1 / share)), seed=seed) == 0)


def draw_label_amounts(
    patients: Shaped[np.ndarray, " images"],
    labels: Num[np.ndarray, "images ..."],
    *,
    fractions: Sequence[float],
    seed: int,
) -> dict[float, Int[np.ndarray, " chosen"]]:
    """Draw the training images of each amount.

    Patients are put in one random order in which every stratum is spread evenly and the first few hold every class;
    a share takes the first ceil(share x patients) of it. So a smaller draw lies within a larger one of the same
    seed, no patient is cut in two, and the smallest draw still has one patient of each class. A count takes the images
    of these patients one after the other until there are as many, of the last patient some drawn at random.

    Args:
        patients: Patient of each training image.
        labels: Class index, or 0/1/NaN a label (two dimensions).
        fractions: Amounts: shares of the patients in (0, 1], where 1 takes all, or counts of images from 2 on.
        seed: Of the order.

    Returns:
        Amount to sorted positions in `patients`.

    Raises:
        ConfigError: What is no amount, see `in_order`.
        LabelError: More images are asked for than there are.
    """
    amounts = in_order(fractions)
    for amount in amounts:
        if is_count(amount) and amount > len(patients):
            raise LabelError(
                f"{amount:.0f} labelled images are asked for, and a training side has {len(patients)} to learn from; "
                "ask for fewer, or for a share (1 takes all)"
            )
    code, stratum, holds = patient_strata(patients, labels)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(stratum))
    size = np.bincount(stratum)
    place = np.empty(len(stratum))
    for one in np.unique(stratum):
        members = order[stratum[order] == one]
        place[members] = (np.arange(len(members)) + generator.random()) / size[one]
    order = order[np.argsort(place[order], kind="stable")]
    order, leading = _every_class_first(order, code, holds)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    by_patient = np.lexsort((generator.permutation(len(code)), rank[code]))
    shares = {one: max(leading, int(np.ceil(one * len(order) - 1e-9))) for one in amounts if one <= ALL}
    draws = {one: np.flatnonzero(rank[code] < count) for one, count in shares.items()}
    return draws | {one: np.sort(by_patient[: int(one)]) for one in amounts if is_count(one)}


def _every_class_first(
    order: Int[np.ndarray, " patients"], code: Int[np.ndarray, " images"], holds: Int[np.ndarray, "images classes"]
) -> tuple[Int[np.ndarray, " patients"], int]:
    """Move to the front the first patient of each class that nobody already there has; return how many those are."""
    has = np.zeros((len(order), holds.shape[1]), dtype=bool)
    np.logical_or.at(has, code, holds.astype(bool))
    front: list[int] = []
    for one in np.argsort(has.sum(axis=0), kind="stable"):
        candidates = order[has[order, one]]
        if len(candidates) and not has[front, one].any():
            front.append(int(candidates[0]))
    rest = order[~np.isin(order, front)]
    return np.concatenate([np.asarray(front, dtype=order.dtype), rest]), len(front)
