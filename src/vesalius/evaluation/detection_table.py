"""Detections as a table, a row each, and back as COCO's own code takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

__all__ = ["from_table", "to_table"]

_BOX = ("x", "y", "width", "height")


def to_table(detected: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Lay out what every training of every arm detects.

    Args:
        detected: By arm and draw of labels detections, as `vesalius.evaluation.average_precision.average_precision`
            takes them.

    Returns:
        Columns `arm`, `seed`, `image`, `category`, `score`, the box in pixels (`x`, `y`, `width`, `height`), and
        `mask`, COCO's run lengths.
    """
    rows = []
    for (arm, seed), found in detected.items():
        for one in found:
            about = {"arm": arm, "seed": seed, "image": one["image_id"], "category": one["category_id"]}
            about |= {"score": one["score"]}
            rows.append(about | dict(zip(_BOX, one["bbox"], strict=True)) | {"mask": one["segmentation"]["counts"]})
    return pd.DataFrame(rows, columns=["arm", "seed", "image", "category", "score", *_BOX, "mask"])


def from_table(table: pd.DataFrame, arm: str, seed: int, truth: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what one training of an arm detects.

    Args:
        table: As `to_table` lays it out.
        arm: Which.
        seed: Of the draw of labels.
        truth: Images in COCO's format, which tell the sizes of masks.
    """
    if "seed" not in table:  # written before labels were drawn
        table = table.assign(seed=0)
    sizes = {one["id"]: [one["height"], one["width"]] for one in truth["images"]}
    return [
        {
            "image_id": row["image"],
            "category_id": row["category"],
            "score": row["score"],
            "bbox": [row[side] for side in _BOX],
            "segmentation": {"size": sizes[row["image"]], "counts": row["mask"]},
        }
        for row in table[(table["arm"] == arm) & (table["seed"] == seed)].to_dict("records")
    ]
