"""The labelled images that a segmenter learns from, and those held out to say how good it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.data.gray import gray_pixels
from vesalius.data.masks import VOID
from vesalius.data.open_pool import open_pool
from vesalius.data.store import Store
from vesalius.errors import KnowledgeError, nearest

__all__ = ["LEAST_PATIENTS", "LabelledImages", "labelled_images", "open_labelled"]

LEAST_PATIENTS = 5
"""Patients with masks below which no segmenter is trained."""

HELD_OUT = 5
"""One patient of so many is held out."""


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images with label maps, parted by patient.

    Attributes:
        store: Where they lie.
        split: Which of its splits they are, for records.
        rows: To learn from.
        held_out: Of other patients, to be scored.
        names: The parts, in the order of the channels; all else in the label maps is background.
        values: Of the parts in the label maps.
    """

    store: Store
    split: str
    rows: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    names: tuple[str, ...]
    values: tuple[int, ...]

    def read(
        self, rows: Int[np.ndarray, " images"]
    ) -> tuple[Float[Tensor, "images 1 height width"], Float[Tensor, "images parts height width"]]:
        """Read pixels in [0, 1] and parts, 0 or 1."""
        labels = torch.from_numpy(self.store.masks[rows].astype(np.int64))
        parts = torch.stack([labels == value for value in self.values], 1).float()
        return gray_pixels(self.store.images[rows]), parts

    def description(self) -> dict[str, Any]:
        """Tell which images these are, in plain types; other pixels, masks or patients give another `sha256`."""
        digest = hashlib.sha256(repr((self.names, self.values, self.rows.tolist(), self.held_out.tolist())).encode())
        for row in (*self.rows, *self.held_out):
            digest.update(np.ascontiguousarray(self.store.images[int(row)]).tobytes())
            digest.update(np.ascontiguousarray(self.store.masks[int(row)]).tobytes())
        every = np.concatenate([self.rows, self.held_out])
        return {
            "store": self.store.path.name,
            "fingerprint": self.store.fingerprint,
            "split": self.split,
            "images": len(self.rows),
            "held_out_images": len(self.held_out),
            "patients": int(self.store.manifest["patient"].iloc[every].nunique()),
            "sha256": digest.hexdigest(),
        }


def open_labelled(data: str | Path, parts: Sequence[str] = (), *, seed: int = 0) -> LabelledImages:
    """Open `STORE[@SPLITS]`, by default its train split.

    Raises:
        StoreError, KnowledgeError: See `open_pool` and `labelled_images`.
    """
    pool, about = open_pool(data)
    store, rows = pool.parts[0]
    return labelled_images(store, rows, parts, split=str(about["split"][0]), seed=seed)


def labelled_images(
    store: Store, rows: Int[np.ndarray, " rows"], parts: Sequence[str] = (), *, split: str = "rows", seed: int = 0
) -> LabelledImages:
    """Take the rows that have masks and hold out one patient of five.

    Args:
        store: Labelled.
        rows: To choose from.
        parts: Which to learn, in the order of the maps' channels; all by default.
        split: What the rows are, for records.
        seed: Of the choice of patients.

    Raises:
        KnowledgeError: No masks, a part they do not name or do not show, or fewer than five patients with masks.
    """
    values = _values(store, parts)
    masked = rows[store.manifest["has_masks"].to_numpy(dtype=bool)[rows]]
    patients = store.manifest["patient"].to_numpy()[masked]
    drawn = np.random.default_rng([seed, 0]).permutation(np.unique(patients))
    if len(drawn) < LEAST_PATIENTS:
        raise KnowledgeError(
            f"{store.path}: {len(masked)} images with masks, of {len(drawn)} patients, in '{split}'; a segmenter needs "
            f"{LEAST_PATIENTS} patients or more. Name more of the store (STORE@all, STORE@train+val), or use "
            "--template deformable, which needs one"
        )
    out = np.isin(patients, drawn[: len(drawn) // HELD_OUT])
    labelled = LabelledImages(
        store=store,
        split=split,
        rows=masked[~out].astype(np.int64),
        held_out=masked[out].astype(np.int64),
        names=tuple(values),
        values=tuple(values.values()),
    )
    _check_shown(labelled)
    return labelled


def _values(store: Store, wanted: Sequence[str]) -> dict[str, int]:
    if not store.has("masks") or not store.manifest["has_masks"].any():
        raise KnowledgeError(
            f"{store.path}: has no masks, so no segmenter can learn from it; name a store whose data set gave masks by "
            "--train-on"
        )
    names = store.info["arrays"]["masks"]["parts"]
    there = {name: value for value, name in enumerate(names) if value > 0 and name != VOID}
    for name in wanted:
        if name not in there:
            raise KnowledgeError(
                f"{store.path}: its masks have no part '{name}'; parts: {', '.join(there)}{nearest(name, there)}"
            )
    return {name: there[name] for name in (wanted or there)}


def _check_shown(labelled: LabelledImages) -> None:
    seen = {value for row in labelled.rows for value in np.unique(labelled.store.masks[int(row)]).tolist()}
    for name, value in zip(labelled.names, labelled.values, strict=True):
        if value not in seen:
            raise KnowledgeError(
                f"{labelled.store.path}: none of the {len(labelled.rows)} images to learn from shows '{name}'; leave "
                "it out by --parts, or name more of the store"
            )
