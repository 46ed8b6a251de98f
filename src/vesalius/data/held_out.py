"""Images that a training is judged by and never learns from, of patients that it does not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, Integer
from torch import Tensor

from vesalius.data.batches import ImagePool
from vesalius.errors import SplitError, StoreError
from vesalius.records.knowledge import Knowledge

__all__ = ["HeldOut", "held_out_pool"]

_SPLIT = "val"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The images and what is known of them.

    Attributes:
        pool: The images.
        knowledge: Reads their knowledge maps by their place in the pool, where the recipe has guidance.
        regions: Reads their regions in the same way, where the method learns from them.
    """

    pool: ImagePool
    knowledge: Callable[[Int[np.ndarray, "batch"]], Knowledge] | None = None
    regions: Callable[[Int[np.ndarray, "batch"]], Integer[Tensor, "batch rows columns"]] | None = None


def held_out_pool(trained: ImagePool) -> tuple[ImagePool, dict[str, Any]]:
    """Open the `val` split of the stores that are trained on; return it and what run.json says of it.

    Splits are drawn store by store, so one store's split may hold patients that another store trains on: these are
    left out and counted. They are found by the pseudonym, which agrees among stores of one salt, or by equal pixels.

    Raises:
        SplitError: Images of the split are trained on.
        StoreError: None is left.
    """
    tables = [store.manifest.iloc[rows][["patient", "pixel_sha256"]] for store, rows in trained.parts]
    seen = pd.concat(tables, ignore_index=True)
    parts, patients, left_out = {}, set(), set()
    for store, rows in trained.parts:
        asked = store.rows(split=_SPLIT)
        if (both := int(np.isin(asked, rows).sum())) > 0:
            raise SplitError(
                f"{store.path}: {both} of the images trained on are of its {_SPLIT} split, which validation needs for "
                f"itself: train on the train split alone (--data {store.path}), or leave out the recipe's validation"
            )
        about = store.manifest.iloc[asked]
        known = (about["patient"].isin(seen["patient"]) | about["pixel_sha256"].isin(seen["pixel_sha256"])).to_numpy()
        left_out |= set(about["patient"][known])
        patients |= set(about["patient"][~known])
        if not known.all():
            parts[store.fingerprint] = store, asked[~known]
    if not parts:
        names = ", ".join(str(store.path) for store, _ in trained.parts)
        why = f"; its {len(left_out)} patients are trained on in another store" if left_out else ""
        raise StoreError(
            f"validation: no image in the {_SPLIT} split of {names}{why}. Prepare the images with such a split, or "
            "leave out the recipe's validation"
        )
    pool = ImagePool(list(parts.values()))
    about_it: dict[str, Any] = {"split": _SPLIT, "images": len(pool), "patients": len(patients)}
    return pool, about_it | ({"patients_left_out": len(left_out)} if left_out else {})
