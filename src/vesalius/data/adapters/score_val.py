"""Scoring what is published as the val side, where nothing is published of the test side."""

from __future__ import annotations

from collections.abc import Mapping

from vesalius.data.adapters.interface import Adapter
from vesalius.errors import DatasetError

__all__ = ["score_val"]


def score_val(adapter: Adapter, sides: Mapping[str, str], *, where: str) -> dict[str, str]:
    """Return image to side with val as the test side, without the published test images, which a note counts.

    Args:
        adapter: Is told the note.
        sides: Image to published side.
        where: The sides are told, inside the data set.

    Raises:
        DatasetError: There is no val side.
    """
    scored = {image: {"train": "train", "val": "test"}[side] for image, side in sides.items() if side != "test"}
    if "val" not in sides.values():
        raise DatasetError(f"score=val: no image of the val side in {where}; add it, or leave the option out")
    adapter.note("the published val side is this store's test side (score=val); none is val")
    if len(sides) > len(scored):
        adapter.note(f"{len(sides) - len(scored)} images of the published test side are left out (score=val)")
    return scored
