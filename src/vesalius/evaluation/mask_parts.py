"""What a store's masks offer to be compared with: its parts, and the maps of them that cost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.data.knowledge_maps import KnowledgeMaps, labelled_by
from vesalius.data.masks import VOID
from vesalius.data.store import Store
from vesalius.errors import ConfigError, EvaluationError, LabelError, nearest
from vesalius.evaluation.round_options import RoundOptions
from vesalius.records.knowledge import is_sided
from vesalius.training.run_folder import RunFolder

__all__ = [
    "check_mirrors",
    "given_maps",
    "known_pixels",
    "leave_out_labelled",
    "mask_parts",
    "void_value",
    "with_images",
]

_AS_BASELINE = {"predicted": "predicted_masks", "average": "average_prediction", "triangular": "triangles"}
"""Name of the maps' parts as an arm, by their template; what a registration carried is the `registered_exemplar`."""


def mask_parts(store: Store, wanted: Sequence[str]) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
    """Return the value of every part in the label maps, `void` aside, and the rows that have masks.

    Raises:
        StoreError: The store has no masks.
        LabelError: A part that the masks do not hold.
        EvaluationError: No image has a mask.
    """
    store.masks  # noqa: B018 (refuses a store without masks)
    there = {name: value for name, value in _values(store).items() if name != VOID}
    for name in wanted:
        if name not in there:
            raise LabelError(
                f"{store.path}: its masks have no part {name!r}; parts: {sorted(there)}{nearest(name, there)}"
            )
    rows = np.flatnonzero(store.manifest["has_masks"].to_numpy(dtype=bool)).astype(np.int64)
    if not len(rows):
        raise EvaluationError(f"{store.path}: no image has a mask; there is nothing to be compared with")
    return {name: value for name, value in there.items() if not wanted or name in wanted}, rows


def check_mirrors(parts: Iterable[str], options: RoundOptions) -> None:
    """Refuse mirrored images of parts that are the patient's left and right.

    Raises:
        ConfigError: So they are.
    """
    sided = [name for name in parts if is_sided(name)]
    for name in ("flip", "vertical_flip"):
        if getattr(options, name) > 0 and sided:
            raise ConfigError(
                f"{name} = {getattr(options, name)}: would take {sided[0]} for the other side's; set {name}=0"
            )


def void_value(store: Store) -> int | None:
    """Return the value of pixels of which nothing is known, where the masks have such."""
    return _values(store).get(VOID)


def known_pixels(store: Store, rows: npt.NDArray[np.int64]) -> Bool[np.ndarray, "images rows columns"]:
    """Mark the pixels of which something is known: all but `void`."""
    masks, void = np.asarray(store.masks[rows]), void_value(store)
    return np.ones(masks.shape, dtype=bool) if void is None else masks != void


def _values(store: Store) -> dict[str, int]:
    return {name: value for value, name in enumerate(store.info["arrays"]["masks"]["parts"]) if value > 0}


def leave_out_labelled(
    run: Path, store: Store, rows: npt.NDArray[np.int64], maps: KnowledgeMaps | None = None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Leave out images whose own masks taught the run or made the maps beside it; return the rest, and notes.

    Exemplars are known by their files. A segmenter's labelled images are not told one by one: a store that it was
    trained on is scored, and the note says so.
    """
    state = RunFolder(run).state() if RunFolder(run).exists else {}
    data = state.get("data", {})
    sources = [data.get(kind, {}).get("labelled", {}) for kind in ("maps", "regions")]
    sources += [] if maps is None else [labelled_by([maps])]
    known = {sha256 for one in sources for sha256 in one.get("images", ())}
    taught = store.manifest["sha256"].iloc[rows].isin(known).to_numpy()
    notes = [f"left out: {int(taught.sum())} image whose own mask is the exemplar's"] if taught.any() else []
    if any(store.fingerprint in one.get("stores", ()) for one in sources):
        notes.append("the segmenter behind the knowledge maps was trained on images of this very store")
    return rows[~taught], notes


def with_images(table: pd.DataFrame, store: Store, rows: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Put in front of figures of all images, arm after arm, whose they are; no column holds a file's name."""
    about = store.manifest[["image_id", "patient"]].iloc[rows]
    repeated = pd.concat([about] * (len(table) // len(rows)), ignore_index=True)
    return pd.concat([repeated, table.reset_index(drop=True)], axis=1)


def given_maps(maps: KnowledgeMaps | None, part: str, rows: npt.NDArray[np.int64]) -> Mapping[str, Tensor]:
    """Return a part of knowledge maps by the name of an arm, and where the template itself has it, unmoved."""
    if maps is None or part not in maps.names.names:
        return {}
    channel = maps.names.names.index(part)
    moved = torch.from_numpy(maps.parts[rows][:, channel]).float()
    given = {_AS_BASELINE.get(maps.info["template"], "registered_exemplar"): moved}
    if maps.still is not None:
        given["exemplar_unmoved"] = torch.from_numpy(maps.still[channel]).float().expand(len(moved), -1, -1)
    return given
