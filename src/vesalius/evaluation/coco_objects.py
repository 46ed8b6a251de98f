"""Images with boxes and outlines of single objects, in COCO's format, for detection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.adapters.listing import inside
from vesalius.data.read import read_image
from vesalius.data.splits import folds_by_patient
from vesalius.data.windows import apply_window
from vesalius.errors import LabelError, ManifestError, SplitError

__all__ = ["ObjectImage", "ObjectSet", "masks_of", "pixels_of", "read_objects"]

_FOLDS = 3
"""Where one table holds all images, a third of them is scored."""


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
    """

    path: Path
    number: int
    height: int
    width: int
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    outlines: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ObjectSet:
    """What is learned from and what is scored.

    Attributes:
        folder: Of the set.
        classes: Name of each class.
        categories: Its id in the tables, which need not be consecutive.
        train: Images with objects.
        test: Images that are scored, those without objects too.
        truth: Of the scored images, as COCO's own code reads it.
        sides: How the sides were made.
        fingerprint: Digest of the tables.
    """

    folder: Path
    classes: tuple[str, ...]
    categories: tuple[int, ...]
    train: tuple[ObjectImage, ...]
    test: tuple[ObjectImage, ...]
    truth: Mapping[str, Any]
    sides: str
    fingerprint: str


def read_objects(folder: Path, *, seed: int = 0) -> ObjectSet:
    """Read `annotations/instances_<set>.json` and `<set>/`.

    With tables whose names begin with `train` and `val` (or `test`, without one of `val`), the former is learned from
    and the latter scored.
    With one table a third of its images is scored, drawn by the seed.

    Raises:
        ManifestError: No table, a damaged one, or one that names what is not there.
        LabelError: No object to learn from, or none that is scored.
        SplitError: Too few images.
    """
    tables = sorted((folder / "annotations").glob("instances_*.json"))
    if not tables:
        raise ManifestError(f"{folder}: no annotations/instances_<set>.json; detection reads sets in COCO's format")
    named = {side: [one for one in tables if one.stem.startswith(f"instances_{side}")] for side in ("train", "val")}
    named["val"] += [one for one in tables if one.stem.startswith("instances_test")] if not named["val"] else []
    if len(tables) > 1 and not (len(named["train"]) == len(named["val"]) == 1):
        raise ManifestError(
            f"{folder}: {', '.join(one.name for one in tables)}: give one table, or one named instances_train... and "
            "one instances_val..."
        )
    used = tables if len(tables) == 1 else [*named["train"], *named["val"]]
    content = {table: _read(table) for table in used}
    names = _names(content)
    categories = tuple(sorted(names))
    images = {table: _images(table, one, folder, categories) for table, one in content.items()}
    if len(tables) == 1:
        [(table, own)] = images.items()
        if len(own) < _FOLDS:
            raise SplitError(f"{table}: {len(own)} images; at least {_FOLDS} are needed to learn and to score")
        fold = folds_by_patient(np.array([str(one.number) for one in own]), folds=_FOLDS, seed=seed)
        train, test = ([one for one, here in zip(own, fold == 0, strict=True) if here == scored] for scored in (0, 1))
        sides, scored_table = f"a third of the images of {table.name} scored, seed {seed}", table
    else:
        [learned], [scored_table] = named["train"], named["val"]
        train, test = images[learned], images[scored_table]
        sides = f"learned from {learned.name}, scored on {scored_table.name}"
    train = [one for one in train if len(one.boxes)]
    if not train or not any(len(one.boxes) for one in test):
        raise LabelError(f"{folder}: no object to {'score' if train else 'learn from'} ({sides})")
    digest = hashlib.sha256()
    for table in used:
        digest.update(table.read_bytes())
    for one in (*train, *test):  # the same tables with other pixels are another set
        digest.update(f"{one.number} {one.path.stat().st_size}".encode())
    return ObjectSet(
        folder=folder,
        classes=tuple(names[one] for one in categories),
        categories=categories,
        train=tuple(train),
        test=tuple(test),
        truth=_truth(content[scored_table], {one.number for one in test}),
        sides=sides,
        fingerprint=digest.hexdigest(),
    )


def pixels_of(image: ObjectImage, channels: int) -> npt.NDArray[np.float32]:
    """Decode an image to `[channels, height, width]` in [0, 1], gray where one channel is asked for.

    Raises:
        UnreadableImageError: It cannot be read.
        ManifestError: Its size is not what the table says.
    """
    decoded = read_image(image.path, allow_constant=True)
    pixels = apply_window(decoded.pixels, decoded.window, bits=8).astype(np.float32) / 255
    if pixels.shape[:2] != (image.height, image.width):
        raise ManifestError(
            f"{image.path}: is {pixels.shape[1]} x {pixels.shape[0]}, the table says {image.width} x {image.height}; "
            "boxes would lie elsewhere: copy the image again"
        )
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] != channels:
        pixels = pixels.mean(axis=2, keepdims=True) if channels == 1 else np.repeat(pixels, channels, axis=2)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def masks_of(image: ObjectImage) -> npt.NDArray[np.uint8]:
    """Draw the objects' outlines, `[objects, height, width]`."""
    from pycocotools import mask

    size = (image.height, image.width)
    drawn = np.zeros((len(image.outlines), *size), dtype=np.uint8)
    for place, outline in enumerate(image.outlines):
        if isinstance(outline, list):
            runs = mask.merge(mask.frPyObjects(outline, *size))
        else:
            runs = outline if isinstance(outline["counts"], str) else mask.frPyObjects(outline, *size)
        drawn[place] = mask.decode(runs)
    return drawn


def _images(table: Path, content: Mapping[str, Any], folder: Path, categories: Sequence[int]) -> list[ObjectImage]:
    kind = table.stem.removeprefix("instances_")
    sizes = {image["id"]: [image["height"], image["width"]] for image in content["images"]}
    objects: dict[int, list[Mapping[str, Any]]] = {number: [] for number in sizes}
    for one in content["annotations"]:
        why = _wrong(one, sizes, categories)
        if why:
            raise ManifestError(f"{table}: object {one.get('id')} {why}; {_FORMAT}")
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
            )
        )
    return sorted(found, key=lambda one: one.number)


def _wrong(one: Mapping[str, Any], sizes: Mapping[int, list[int]], categories: Sequence[int]) -> str:
    """Say what is wrong with an object, or nothing; COCO's own code would tell neither table nor object."""
    if one["image_id"] not in sizes:
        return f"is in image {one['image_id']}, which is not listed"
    if one["category_id"] not in categories:
        return f"is of class {one['category_id']}, which is not listed"
    if not isinstance(one["bbox"], list) or len(one["bbox"]) != _CORNERS:
        return f"has the box {one['bbox']}, which is not x, y, width, height"
    outline = one["segmentation"]
    if isinstance(outline, Mapping):
        counted = isinstance(outline.get("counts"), list | str) and outline.get("size") == sizes[one["image_id"]]
        return "" if counted else "has run lengths of another size than its image"
    drawn = isinstance(outline, list) and outline and all(len(corners) >= _FEWEST for corners in outline)
    return "" if drawn else "has an outline of fewer than three points"


def _names(content: Mapping[Path, Mapping[str, Any]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for table, each in content.items():
        for one in each["categories"]:
            if names.setdefault(one["id"], str(one["name"])) != str(one["name"]):
                raise ManifestError(f"{table}: class {one['id']} is {one['name']}, and elsewhere {names[one['id']]}")
    return names


def _truth(content: Mapping[str, Any], numbers: set[int]) -> dict[str, Any]:
    """Return what COCO's code reads; it takes an object's number for whether it was found, so they begin with 1."""
    own = [one for one in content["annotations"] if one["image_id"] in numbers]
    return {
        "info": {},
        "images": [one for one in content["images"] if one["id"] in numbers],
        "annotations": [{"iscrowd": 0} | one | {"id": number} for number, one in enumerate(own, 1)],
        "categories": content["categories"],
    }


def _read(table: Path) -> dict[str, Any]:
    try:
        content = json.loads(table.read_text(encoding="utf-8"))
        for kind, keys in _KEYS.items():
            for one in content[kind]:
                missing = [key for key in keys if key not in one]
                if missing:
                    raise ManifestError(f"{table}: one of {kind} lacks {', '.join(missing)}; {_FORMAT}")
                words = [key for key in keys if key.endswith("id") and not isinstance(one[key], int)]
                if words:
                    raise ManifestError(f"{table}: {words[0]} of one of {kind} is {one[words[0]]!r}, no whole number")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ManifestError(f"{table}: is no table of COCO ({error}); {_FORMAT}") from error
    return dict(content)


_FORMAT = "expected COCO's instances format"
_CORNERS, _FEWEST = 4, 6
_KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id", "bbox", "segmentation", "area"),
    "categories": ("id", "name"),
}
