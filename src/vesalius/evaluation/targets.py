"""The labels of a task as arrays: which rows know them, their kind and their classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Num

from vesalius.data.manifest import label_column
from vesalius.data.store import Store
from vesalius.errors import LabelError, nearest

__all__ = ["KINDS", "Targets", "check_labels", "is_soft", "label_names", "read_targets"]

KINDS = ("binary", "multiclass", "ordinal", "multilabel")


@dataclass(frozen=True, slots=True)
class Targets:
    """Labels of some rows of a store.

    Attributes:
        name: The label, or several joined by commas.
        kind: One of `KINDS`.
        classes: Class names, or the label names of a multi-label task.
        rows: Rows of the store that know the label.
        values: `[rows]` class index, or `[rows, labels]` 0/1/NaN for `multilabel`.
        notes: What was left out and why.
        taught: Of `multilabel`, what a network that is trained learns from: `values` with soft ones in place of NaN.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    notes: tuple[str, ...] = ()
    taught: npt.NDArray[Any] | None = None

    def among(self, classes: tuple[str, ...], *, here: str, there: str) -> Targets:
        """Return the same as indices into the classes of elsewhere, found by their names.

        A store's multi-class label has the classes that its images have, which may be fewer than were learned.

        Args:
            classes: Those of elsewhere.
            here: What these labels are of, for the message.
            there: What the classes are of.

        Raises:
            LabelError: Classes that are not among them, or others in order or number where those matter.
        """
        if self.classes == classes:
            return self
        new = [name for name in self.classes if name not in classes]
        if new or self.kind != "multiclass":
            advice = f"leave out the images of {', '.join(new)}" if new else "their order has to be the same"
            raise LabelError(
                f"'{self.name}' has the classes {self.classes} in {here} but {classes} in {there}; {advice}, or "
                "prepare both with the same classes"
            )
        place_of = np.array([classes.index(name) for name in self.classes], dtype=np.int64)
        return replace(self, classes=classes, values=place_of[self.values])


def read_targets(store: Store, label: str) -> Targets:
    """Read a label of a store, or several binary ones named `a,b,c` as one multi-label task.

    Soft values between 0 and 1 (an uncertainty policy may write them) count as unknown, since they cannot be scored; a
    network that is trained on several labels learns from them (`taught`).

    Raises:
        LabelError: No such label, a kind that cannot be classified, or no image that knows it.
    """
    names = label_names(store, label)
    usable = sorted(name for name, about in store.labels.items() if about["kind"] in KINDS and _is_known(store, name))
    for name in names or [label]:
        if name not in store.labels:
            raise LabelError(
                f"{store.path}: no label '{name}'{nearest(name, usable)}; labels that can be evaluated: {usable}"
            )
    kinds = [str(store.labels[name]["kind"]) for name in names]
    if len(names) > 1 and set(kinds) - {"binary", "multilabel"}:
        raise LabelError(f"{label}: several labels at once must all be binary; they are {kinds}")
    if kinds[0] not in KINDS:
        raise LabelError(f"{label} is of kind '{kinds[0]}', which cannot be classified; use one of {usable}")
    table = np.stack([_column(store, name) for name in names], axis=1)
    soft = is_soft(table)
    use = "learned from by fine-tuning alone, scored by nothing" if len(names) > 1 else "left out"
    notes = (f"{int(soft.sum())} soft values of {label} {use}",) if soft.any() else ()
    taught = table.copy()
    table[soft] = np.nan
    rows = np.flatnonzero(~np.isnan(table).all(axis=1)).astype(np.int64)
    if not len(rows):
        others = f"labels that can be evaluated: {usable}" if usable else "nor any other label that can be evaluated"
        raise LabelError(f"{store.path}: no image knows '{label}'; {others}")
    if len(names) > 1:
        return Targets(label, "multilabel", tuple(names), rows, table[rows], notes, taught[rows])
    classes = tuple(str(one) for one in store.labels[names[0]]["classes"])
    kind = "binary" if kinds[0] == "multilabel" else kinds[0]
    return Targets(names[0], kind, classes, rows, table[rows, 0].astype(np.int64), notes)


def label_names(store: Store, label: str) -> list[str]:
    """Return the labels that are meant by `a` or by `a,b,c`; whether the store has them is not looked at."""
    return [label] if label in store.labels else [name.strip() for name in label.split(",") if name.strip()]


def is_soft(values: Num[np.ndarray, "..."]) -> npt.NDArray[np.bool_]:
    """Say which values lie between classes; those that are not known do not."""
    found: npt.NDArray[np.bool_] = (values != np.round(values)) & ~np.isnan(values)
    return found


def check_labels(labels: Num[np.ndarray, "images ..."], *, kind: str, name: str, classes: int) -> None:
    """Make sure that a classifier can be learned and scored from these labels.

    Raises:
        LabelError: Unknown kind, missing values, values that are no class, or a single class.
    """
    if kind not in KINDS:
        raise LabelError(
            f"{name} is of kind '{kind}', which cannot be classified{nearest(kind, KINDS)}; known: {KINDS}"
        )
    if labels.ndim != (2 if kind == "multilabel" else 1):
        raise LabelError(f"{name}: labels of shape {labels.shape} do not fit kind '{kind}'")
    if kind == "multilabel":
        seen = [np.unique(column[~np.isnan(column)]) for column in labels.T]
        if any(not set(values.tolist()) <= {0.0, 1.0} for values in seen):
            raise LabelError(f"{name}: multi-label values must be 0, 1 or NaN")
        if not any(len(values) == 2 for values in seen):
            raise LabelError(f"{name}: none of the labels has both positive and negative images; choose others")
        return
    missing = int(np.isnan(labels.astype(np.float64)).sum())
    if missing:
        raise LabelError(f"{name}: {missing} of {len(labels)} images have no label (NaN); leave them out first")
    present = np.unique(labels)
    if (present != np.round(present)).any() or present.min() < 0 or present.max() >= classes:
        raise LabelError(f"{name}: values {present[:5].tolist()} are not class indices 0..{classes - 1}")
    if len(present) < 2:
        raise LabelError(
            f"{name}: all {len(labels)} images are of one class ({int(present[0])}), so nothing can be told apart; "
            "choose another label, or add images of the other class"
        )


def _is_known(store: Store, name: str) -> bool:
    return bool(store.manifest[label_column(name)].notna().any())


def _column(store: Store, name: str) -> npt.NDArray[np.float64]:
    column: pd.Series[Any] = store.manifest[label_column(name)]
    return column.to_numpy(dtype=np.float64, na_value=np.nan).copy()
