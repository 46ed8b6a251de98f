"""Images with boxes and outlines of single objects, in COCO's format, for detection."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.coco_table import read_coco_table
from vesalius.data.read import read_image
from vesalius.data.splits import check_no_overlap, folds_by_patient
from vesalius.data.windows import apply_window
from vesalius.errors import LabelError, ManifestError, SplitError
from vesalius.evaluation.coco_tables import DETECTION_KEYS, ObjectImage, class_names, images_of, truth_of
from vesalius.evaluation.files_apart import check_files_apart

__all__ = ["ObjectSet", "masks_of", "pixels_of", "read_objects"]

_FOLDS = 3
"""Where one table holds all images, a third of them is scored."""


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
        by_patient: Whether every image of the tables tells its patient, so that none is on both sides.
        fingerprint: Digest of the tables.
    """

    folder: Path
    classes: tuple[str, ...]
    categories: tuple[int, ...]
    train: tuple[ObjectImage, ...]
    test: tuple[ObjectImage, ...]
    truth: Mapping[str, Any]
    sides: str
    by_patient: bool
    fingerprint: str

    @property
    def scored_patients(self) -> dict[int, str] | None:
        """Patient of every scored image by its number, None where they are not known."""
        return {one.number: str(one.patient) for one in self.test} if self.by_patient else None


def read_objects(folder: Path, *, seed: int = 0) -> ObjectSet:
    """Read `annotations/instances_<set>.json` and `<set>/`.

    With tables whose names begin with `train` and `val` (or `test`, without one of `val`), the former is learned from
    and the latter scored.
    With one table a third of its images is scored, drawn by the seed; by patient, where every image has the key
    `patient_id`, which is no part of COCO's format.

    Raises:
        ManifestError: No table, a damaged one, or one that names what is not there.
        LabelError: No object to learn from, or none that is scored.
        SplitError: Too few images or patients, or the same patient or file on both sides.
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
    content = {table: read_coco_table(table, needs=DETECTION_KEYS) for table in used}
    names = class_names(content)
    categories = tuple(sorted(names))
    images = {table: images_of(table, one, folder, categories) for table, one in content.items()}
    unknown = sum(one.patient is None for own in images.values() for one in own)
    train, test, sides = _sides(folder, images, by_patient=not unknown, seed=seed)
    count = sum(map(len, images.values()))
    sides += f"; {unknown} of {count} images tell no patient_id: images are drawn" if 0 < unknown < count else ""
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
        truth=truth_of(content[used[-1]], {one.number for one in test}),
        sides=sides,
        by_patient=not unknown,
        fingerprint=digest.hexdigest(),
    )


def _sides(
    folder: Path, images: Mapping[Path, Sequence[ObjectImage]], *, by_patient: bool, seed: int
) -> tuple[list[ObjectImage], list[ObjectImage], str]:
    """Return what is learned from and what is scored of one table or two, and how that was decided."""
    learned, *scored = images
    if scored:
        train, test = list(images[learned]), list(images[scored[0]])
        sides = f"learned from {learned.name}, scored on {scored[0].name}"
        _check_patients_apart(folder, train, test)
    else:
        train, test = _divided(learned, images[learned], by_patient=by_patient, seed=seed)
        how = ", by patient" if by_patient else ""
        sides = f"a third of the images of {learned.name} scored{how}, seed {seed}"
    train = [one for one in train if len(one.boxes)]
    if not train or not any(len(one.boxes) for one in test):
        raise LabelError(f"{folder}: no object to {'score' if train else 'learn from'} ({sides})")
    advice = "take them out of one of the tables" if scored else "take all but one of each out of the table"
    check_files_apart((one.path for one in train), (one.path for one in test), root=folder, advice=advice)
    return train, test, sides


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


def _divided(
    table: Path, own: Sequence[ObjectImage], *, by_patient: bool, seed: int
) -> tuple[list[ObjectImage], list[ObjectImage]]:
    """Divide one table's images into what is learned from and what is scored."""
    units = [str(one.patient) if by_patient else str(one.number) for one in own]
    if len(set(units)) < _FOLDS:
        what = "patients" if by_patient else "images"
        raise SplitError(f"{table}: {len(set(units))} {what}; at least {_FOLDS} are needed to learn and to score")
    fold = folds_by_patient(units, folds=_FOLDS, seed=seed)
    train, test = ([one for one, here in zip(own, fold == 0, strict=True) if here == scored] for scored in (0, 1))
    return train, test


def _check_patients_apart(folder: Path, train: Sequence[ObjectImage], test: Sequence[ObjectImage]) -> None:
    """Refuse patients in both tables, as far as they are known."""
    sides = [(one.patient, side) for side, own in (("train", train), ("val", test)) for one in own if one.patient]
    try:
        check_no_overlap([str(patient) for patient, _ in sides], [side for _, side in sides])
    except SplitError as error:
        raise SplitError(f"{folder}: {error}; by patient_id. Put all images of a patient into one table") from error
