"""Detections as a table, a row each, and back as COCO's own code takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

__all__ = ["from_table", "to_table"]

_BOX = ("x", "y", "width", "height")


def to_table(detected: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Lay out what every arm detects.

    Args:
        detected: By arm detections as `vesalius.evaluation.average_precision.average_precision` takes them.

    Returns:
        Columns `arm`, `image`, `category`, `score`, the box in pixels (`x`, `y`, `width`, `height`), and `mask`, COCO's
        run lengths.
    """
    rows = []
    for arm, found in detected.items():
        for one in found:
            about = {"arm": arm, "image": one["image_id"], "category": one["category_id"], "score": one["score"]}
            rows.append(about | dict(zip(_BOX, one["bbox"], strict=True)) | {"mask": one["segmentation"]["counts"]})
    return pd.DataFrame(rows, columns=["arm", "image", "category", "score", *_BOX, "mask"])


def from_table(table: pd.DataFrame, arm: str, truth: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what an arm detects.

    Args:
        table: As `to_table` lays it out.
        arm: Which.
        truth: Images in COCO's format, which tell the sizes of masks.
    """
    sizes = {one["id"]: [one["height"], one["width"]] for one in truth["images"]}
    return [
        {
            "image_id": row["image"],
            "category_id": row["category"],
            "score": row["score"],
            "bbox": [row[side] for side in _BOX],
            "segmentation": {"size": sizes[row["image"]], "counts": row["mask"]},
        }
        for row in table[table["arm"] == arm].to_dict("records")
    ]
