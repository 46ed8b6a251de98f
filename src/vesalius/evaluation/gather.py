"""The labelled images of an evaluation: which rows of which stores, and on which side each of them is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.data.store import Store
from vesalius.errors import LabelError
from vesalius.evaluation.protocol import Sides, check_stores_apart, make_sides
from vesalius.evaluation.targets import Targets, read_targets

__all__ = ["EvaluationTask", "gather"]

_Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """The labelled rows of one store, or of two laid end to end, and their sides.

    Attributes:
        stores: Each store with its rows; the scored one is the last.
        targets: Labels of all rows.
        patients: Patient of each row.
        image_ids: Id of each row.
        split: The store's own split of each row.
        sides: Positions learned from and scored.
        notes: What a reader of the figures must know.
    """

    stores: tuple[tuple[Store, _Array], ...]
    targets: Targets
    patients: _Array
    image_ids: _Array
    split: _Array
    sides: Sides
    notes: tuple[str, ...]

    @property
    def train_rows(self) -> _Array:
        """Rows of the first store that the first probe learns from."""
        return self.targets.rows[self.sides.pairs[0][0]]

    @property
    def scored(self) -> tuple[Store, _Array]:
        """The store that is scored, and those of its rows that are."""
        store, rows = self.stores[-1]
        return store, rows[self.sides.test - (len(self.targets.rows) - len(rows))]


def gather(
    store: Store, test_store: Store | None, label: str, *, protocol: str = "auto", folds: int = 5, seed: int = 0
) -> EvaluationTask:
    """Read the labels of one store, or of a store and another one to score, and choose the sides.

    Raises:
        LabelError: The label cannot be classified, or means something else in the other store.
        SplitError: Patients or images on both sides.
    """
    targets = read_targets(store, label)
    known = store.manifest.iloc[targets.rows]
    patients = known["patient"].to_numpy(dtype=str)
    stores: tuple[tuple[Store, _Array], ...] = ((store, targets.rows),)
    notes = [*targets.notes]
    if test_store is None:
        split = known["split"].to_numpy(dtype=str)
        sides = make_sides(split, targets.values, patients, protocol=protocol, folds=folds, seed=seed)
    else:
        other = _read_other(test_store, label, store, targets)
        table = test_store.manifest.iloc[other.rows]
        columns = ("patient", "pixel_sha256")
        # Ids made with different salts never agree, so comparing them always is safe; equal pixels tell in any case.
        check_stores_apart(*({c: one[c].to_numpy(dtype=str) for c in columns} for one in (known, table)))
        first = len(targets.rows)
        values = np.concatenate([targets.values, other.values])
        sides = Sides(
            "other_store",
            ((np.arange(first), np.arange(first, len(values))),),
            f"learned on {store.path.name}, scored on {test_store.path.name}",
        )
        if _salt(store) is None or _salt(store) != _salt(test_store):
            notes.append("the stores have different salts: one patient in both would be found by equal pixels only")
        stores = (*stores, (test_store, other.rows))
        known = pd.concat([known, table])
        patients = known["patient"].to_numpy(dtype=str)
        rows = np.concatenate([targets.rows, other.rows])
        both = targets.taught is not None and other.taught is not None
        taught = np.concatenate([targets.taught, other.taught]) if both else None
        targets = replace(targets, values=values, rows=rows, taught=taught)
    unknown = int((~known["patient_known"].to_numpy(dtype=bool)).sum())
    if unknown:
        notes.append(f"the patient of {unknown} images is unknown: each counts as its own")
    ids, split = (known[column].to_numpy(dtype=str) for column in ("image_id", "split"))
    return EvaluationTask(stores, targets, patients, ids, split, sides, tuple(notes))


def _read_other(test_store: Store, label: str, store: Store, targets: Targets) -> Targets:
    """Read the label of the store that is scored, as indices into the classes that are learned."""
    other = read_targets(test_store, label)
    if other.kind != targets.kind:
        raise LabelError(
            f"'{label}' is {targets.kind} in {store.path} but {other.kind} in {test_store.path}; prepare both alike"
        )
    return other.among(targets.classes, here=str(test_store.path), there=str(store.path))


def _salt(store: Store) -> Any:
    return store.info.get("options", {}).get("salt_id")
