"""COCO: photographs with outlines of objects of many classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import inside, source_of
from vesalius.data.coco_table import COCO_FORMAT, finite_numbers, patient_of, read_coco_table
from vesalius.data.labels import LabelSpec
from vesalius.data.masks import VOID
from vesalius.data.splits import SPLITS
from vesalius.errors import ConfigError, ManifestError
from vesalius.records.sample import RunLengths, Sample

__all__ = ["CocoAdapter"]

_KEYS = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
_FEWEST = 6
"""Numbers of a polygon: three corners."""


class CocoAdapter(Adapter):
    """`annotations/instances_<set>.json` with the images in `<set>/`; any set in this format.

    An object's outline, corners or run lengths, is part of the image's masks by its class, smaller objects over larger
    ones; crowds, of many objects at once, are `void`. An image's patient is its `patient_id`, which is no part of
    COCO's format; without one it is its own patient.
    """

    name: ClassVar[str] = "coco"
    title: ClassVar[str] = "COCO"
    layout: ClassVar[str] = "annotations/instances_<set>.json + <set>/<image>.jpg"
    citation: ClassVar[str] = "Lin et al., ECCV 2014"
    licence: ClassVar[str] = "annotations CC BY 4.0; images under their owners' terms"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """There is a table of instances."""
        return next((folder / "annotations").glob("instances_*.json"), None) is not None

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image of every table, each class a binary label."""
        base = self.base(root)
        tables = sorted((base / "annotations").glob("instances_*.json"))
        content = [(table, read_coco_table(table, needs=_KEYS, words=True)) for table in tables]
        names = sorted({str(one["name"]).replace(" ", "_") for _, table in content for one in table["categories"]})
        self.labels = {name: LabelSpec(kind="binary", description=f"shows a {name}") for name in names}
        found = [sample for table, one in content for sample in self._samples(table, one, base, root)]
        known = {sample.path for sample in found}
        listed = self.list_images(base, root)
        unnamed = sum(path not in known for path in listed)
        if unnamed:
            self.note(f"{unnamed} images that no table names are passed over")
        return sorted(found, key=lambda sample: sample.source)

    def _samples(self, table: Path, content: dict[str, Any], base: Path, root: Path) -> list[Sample]:
        kind = table.stem.removeprefix("instances_")
        split = next((one for one in SPLITS if kind.startswith(one)), None)
        name_of = {one["id"]: str(one["name"]).replace(" ", "_") for one in content["categories"]}
        objects: dict[Any, list[dict[str, Any]]] = {}
        for one in content["annotations"]:
            if one["category_id"] not in name_of:
                raise ManifestError(
                    f"{table}: object {one.get('id')} is of class {one['category_id']}, which is not listed"
                )
            if not finite_numbers([one.get("area", 0)]):
                raise ManifestError(f"{table}: object {one.get('id')} has the area {one['area']!r}; {COCO_FORMAT}")
            objects.setdefault(one["image_id"], []).append(one)
        listed = {image["id"] for image in content["images"]}
        lost = sum(len(many) for number, many in objects.items() if number not in listed)
        if lost:
            self.warn(f"{table.name}: {lost} objects are of images that it does not list, and are left out")
        crowds = sum(bool(one.get("iscrowd")) for many in objects.values() for one in many)
        if crowds:
            self.note(f"{table.name}: {crowds} crowds are void in the masks: nothing is learned or scored there")
        found, boxes = [], 0
        for image in content["images"]:
            own = sorted(objects.get(image["id"], []), key=lambda one: -float(one.get("area", 0.0)))
            outlines, bare = _drawn(own, name_of, table)
            boxes += bare
            shown = {name_of[one["category_id"]] for one in own}
            path = inside(base / kind, str(image["file_name"]), table=table)
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=patient_of(image, table) or f"{kind}_{image['id']}",
                    split=split,
                    labels={name: int(name in shown) for name in self.labels},
                    outlines=outlines,
                )
            )
        if boxes:
            self.note(
                f"{table.name}: {boxes} objects have a box and no outline beside others that have; boxes are void"
            )
        return found


def _drawn(
    objects: Sequence[Mapping[str, Any]], name_of: Mapping[Any, str], table: Path
) -> tuple[tuple[tuple[str, tuple[float, ...] | RunLengths], ...], int]:
    """Return the outlines of an image by class, and how many objects beside them have none."""
    drawn: list[tuple[str, tuple[float, ...] | RunLengths]] = []
    bare = []
    for one in objects:
        outlines = _outlines(one, table)
        part = VOID if one.get("iscrowd") else name_of[one["category_id"]]
        drawn += [(part, outline) for outline in outlines]
        if not outlines:
            bare.append(one)
    if not drawn:
        return (), 0
    boxes: list[tuple[str, tuple[float, ...] | RunLengths]] = [(VOID, _corners(one, table)) for one in bare]
    return (*boxes, *drawn), len(bare)


def _corners(one: Mapping[str, Any], table: Path) -> tuple[float, ...]:
    box: Any = one.get("bbox")
    if not finite_numbers(box, 4):
        raise ManifestError(
            f"{table}: object {one.get('id')} has no outline of three corners, and its box is {box!r}; take it out, or "
            "give one of them"
        )
    x, y, width, height = map(float, box)
    return (x, y, x + width, y, x + width, y + height, x, y + height)


def _outlines(one: Mapping[str, Any], table: Path) -> list[tuple[float, ...] | RunLengths]:
    """Return an object's polygons of three corners and more, or its run lengths."""
    told = one.get("segmentation") or []
    if isinstance(told, list):
        strange = next((corners for corners in told if not finite_numbers(corners)), None)
        if strange is not None:
            raise ManifestError(
                f"{table}: object {one.get('id')} has an outline that is no list of numbers: {strange!r:.60}"
            )
        return [tuple(float(at) for at in corners) for corners in told if len(corners) >= _FEWEST]
    runs: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    counts: Any = runs.get("counts")
    size: Any = runs.get("size")
    whole = isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)
    if not whole or not (isinstance(counts, str) or _fill(counts, size)):
        raise ManifestError(
            f"{table}: object {one.get('id')} has run lengths that do not fill their size {size}; expected counts and "
            "size (height, width) as COCO writes them"
        )
    if isinstance(counts, str) and find_spec("pycocotools") is None:
        raise ConfigError(f"{table}: its packed run lengths need pycocotools: pip install 'vesalius[detection]'")
    return [RunLengths(height=size[0], width=size[1], counts=counts if isinstance(counts, str) else tuple(counts))]


def _fill(counts: Any, size: Sequence[int]) -> bool:
    """Say whether lengths of runs add up to the pixels."""
    lengths = isinstance(counts, list) and all(isinstance(one, int) and one >= 0 for one in counts)
    return lengths and sum(counts) == size[0] * size[1]
