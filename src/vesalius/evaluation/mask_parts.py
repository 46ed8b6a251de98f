"""What a store's masks offer to be compared with: its parts, and the maps of them that cost nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vesalius.data.knowledge_maps import KnowledgeMaps
from vesalius.data.store import Store
from vesalius.errors import EvaluationError, LabelError, nearest

__all__ = ["given_maps", "mask_parts"]


def mask_parts(store: Store, wanted: Sequence[str]) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
    """Return the value of every part in the label maps, and the rows that have masks.

    Raises:
        StoreError: The store has no masks.
        LabelError: A part that the masks do not hold.
        EvaluationError: No image has a mask.
    """
    store.masks  # noqa: B018 (refuses a store without masks)
    there = {name: value for value, name in enumerate(store.info["arrays"]["masks"]["parts"]) if value > 0}
    for name in wanted:
        if name not in there:
            raise LabelError(
                f"{store.path}: its masks have no part {name!r}; parts: {sorted(there)}{nearest(name, there)}"
            )
    rows = np.flatnonzero(store.manifest["has_masks"].to_numpy(dtype=bool)).astype(np.int64)
    if not len(rows):
        raise EvaluationError(f"{store.path}: no image has a mask; there is nothing to be compared with")
    return {name: there[name] for name in (wanted or there)}, rows


def given_maps(maps: KnowledgeMaps | None, part: str, rows: npt.NDArray[np.int64]) -> Mapping[str, Tensor]:
    """Return a part of knowledge maps: where the registration carried it, and where the exemplar itself has it."""
    if maps is None or part not in maps.names.names:
        return {}
    channel = maps.names.names.index(part)
    moved = torch.from_numpy(maps.parts[rows][:, channel]).float()
    given = {"registered_exemplar": moved}
    if maps.still is not None:
        given["exemplar_unmoved"] = torch.from_numpy(maps.still[channel]).float().expand(len(moved), -1, -1)
    return given
