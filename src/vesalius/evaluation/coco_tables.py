"""Tables in COCO's format: images with boxes and outlines of single objects, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.adapters.listing import inside
from vesalius.data.coco_table import COCO_FORMAT, finite_numbers, patient_of
from vesalius.errors import ManifestError

__all__ = ["DETECTION_KEYS", "ObjectImage", "class_names", "images_of", "truth_of"]

DETECTION_KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id", "bbox", "segmentation", "area"),
    "categories": ("id", "name"),
}
"""What detection needs of each image, object and class of a table."""


@dataclass(frozen=True, slots=True)
class ObjectImage:
    """One image and its objects, crowds left out.

    Attributes:
        path: The file.
        number: Its id in the table.
        height: Of the file, px.
        width: Likewise.
        boxes: `[objects, 4]`, x0, y0, x1, y1, px.
        classes: `[objects]`, places in `ObjectSet.classes` from 1 on; 0 is the background.
        outlines: Polygons or run lengths of each object.
        patient: Whose it is, None where the table does not say.
    """

    path: Path
    number: int
    height: int
    width: int
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    outlines: tuple[Any, ...]
    patient: str | None


def images_of(table: Path, content: Mapping[str, Any], folder: Path, categories: Sequence[int]) -> list[ObjectImage]:
    """Return a table's images by their id.

    Raises:
        ManifestError: An object that is wrong, a file that is not there, or a patient that is neither text nor number.
    """
    kind = table.stem.removeprefix("instances_")
    for image in content["images"]:
        if not all(isinstance(image[side], int) and image[side] > 0 for side in ("height", "width")):
            raise ManifestError(
                f"{table}: image {image['id']} is {image['width']!r} x {image['height']!r} pixels; {COCO_FORMAT}"
            )
    sizes = {image["id"]: [image["height"], image["width"]] for image in content["images"]}
    objects: dict[int, list[Mapping[str, Any]]] = {number: [] for number in sizes}
    for one in content["annotations"]:
        why = _wrong(one, sizes, categories)
        if why:
            raise ManifestError(f"{table}: object {one.get('id')} {why}; {COCO_FORMAT}")
        if not one.get("iscrowd") and one["bbox"][2] > 0 and one["bbox"][3] > 0:
            objects[one["image_id"]].append(one)
    found = []
    for image in content["images"]:
        own = objects[image["id"]]
        boxes = np.array([one["bbox"] for one in own], dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        path = inside(folder / kind, str(image["file_name"]), table=table)
        if not path.is_file():
            raise ManifestError(f"{table}: {path} is not there; copy it again, or take it out of the table")
        found.append(
            ObjectImage(
                path=path,
                number=image["id"],
                height=int(image["height"]),
                width=int(image["width"]),
                boxes=boxes,
                classes=np.array([1 + categories.index(one["category_id"]) for one in own], dtype=np.int64),
                outlines=tuple(one["segmentation"] for one in own),
                patient=patient_of(image, table),
            )
        )
    return sorted(found, key=lambda one: one.number)


def _wrong(one: Mapping[str, Any], sizes: Mapping[int, list[int]], categories: Sequence[int]) -> str:
    """Say what is wrong with an object, or nothing; COCO's own code would tell neither table nor object."""
    if one["image_id"] not in sizes:
        return f"is in image {one['image_id']}, which is not listed"
    if not finite_numbers([one["area"]]):
        return f"has the area {one['area']!r}"
    if one["category_id"] not in categories:
        return f"is of class {one['category_id']}, which is not listed"
    if not finite_numbers(one["bbox"], _CORNERS):
        return f"has the box {one['bbox']}, which is not x, y, width, height"
    return _wrong_outline(one, sizes[one["image_id"]])


def _wrong_outline(one: Mapping[str, Any], size: list[int]) -> str:
    outline = one["segmentation"]
    if isinstance(outline, Mapping):
        counted = isinstance(outline.get("counts"), list | str) and outline.get("size") == size
        return "" if counted else "has run lengths of another size than its image"
    if not isinstance(outline, list) or not all(finite_numbers(corners) for corners in outline):
        return f"has an outline that is no list of numbers: {outline!r:.60}"
    drawn = outline and all(len(corners) >= _FEWEST for corners in outline)
    return "" if drawn else "has an outline of fewer than three points"


def class_names(content: Mapping[Path, Mapping[str, Any]]) -> dict[int, str]:
    """Return the name of every class by its id.

    Raises:
        ManifestError: Tables that name one differently.
    """
    names: dict[int, str] = {}
    for table, each in content.items():
        for one in each["categories"]:
            if names.setdefault(one["id"], str(one["name"])) != str(one["name"]):
                raise ManifestError(f"{table}: class {one['id']} is {one['name']}, and elsewhere {names[one['id']]}")
    return names


def truth_of(content: Mapping[str, Any], numbers: set[int]) -> dict[str, Any]:
    """Return what COCO's code reads; it takes an object's number for whether it was found, so they begin with 1."""
    own = [one for one in content["annotations"] if one["image_id"] in numbers]
    return {
        "info": {},
        "images": [one for one in content["images"] if one["id"] in numbers],
        "annotations": [{"iscrowd": 0} | one | {"id": number} for number, one in enumerate(own, 1)],
        "categories": content["categories"],
    }


_CORNERS, _FEWEST = 4, 6
