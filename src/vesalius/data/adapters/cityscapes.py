"""Cityscapes: street scenes, every pixel of a class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.adapters.score_val import score_val
from vesalius.data.masks import VOID
from vesalius.records.sample import Sample

__all__ = ["CityscapesAdapter"]

_IMAGE, _MASK = "_leftImg8bit", "_gtFine_labelIds"
_TRAIN_CLASSES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic_light",
    20: "traffic_sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
_LAST = 33
_LICENCE_PLATE = 255  # -1 in the definition
_SIDES = ("train", "val", "test")


class CityscapesAdapter(Adapter):
    """`leftImg8bit/<side>/<city>/*_leftImg8bit.png` with `gtFine/<side>/<city>/*_gtFine_labelIds.png`.

    The 19 classes of the benchmark are the parts, all other label ids `void`. A city counts as the patient.
    """

    name: ClassVar[str] = "cityscapes"
    title: ClassVar[str] = "Cityscapes"
    layout: ClassVar[str] = "leftImg8bit/{train,val,test}/<city>/*.png + gtFine/{train,val}/<city>/*_labelIds.png"
    citation: ClassVar[str] = "Cordts et al., CVPR 2016"
    licence: ClassVar[str] = "research, on registration"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """The folder of images."""
        return (folder / "leftImg8bit").is_dir()

    def collect(self, root: Path, *, score: Literal["test", "val"] = "test") -> list[Sample]:
        """Return one sample an image; the test side is published without masks.

        Args:
            root: The folder with `leftImg8bit`, or its parent.
            score: Side that is scored. Papers score `val`, which has masks: it becomes the test side.

        Raises:
            DatasetError: `val` is to be scored, and is not there.
        """
        base = self.base(root)
        others = {value: VOID for value in (*range(_LAST + 1), _LICENCE_PLATE) if value not in _TRAIN_CLASSES}
        self.parts = _TRAIN_CLASSES | others
        listed = self.list_images(base / "leftImg8bit", root)
        found: list[Sample] = []
        elsewhere = []
        for path in listed:
            side, *between = path.relative_to(base / "leftImg8bit").parts[:-1] or ("",)
            if not path.stem.endswith(_IMAGE) or side not in _SIDES or len(between) != 1:
                elsewhere.append(path.name)
                continue
            city = between[0]
            mask = base / "gtFine" / side / city / f"{path.stem.removesuffix(_IMAGE)}{_MASK}.png"
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=city,
                    split=side,
                    masks={"@labelmap": mask} if side != "test" and mask.is_file() else {},
                )
            )
        if elsewhere:
            self.note(f"{len(elsewhere)} images elsewhere than leftImg8bit/<side>/<city> are passed over")
        if score == "test":
            return found
        sides = score_val(self, {one.source: str(one.split) for one in found}, where="leftImg8bit")
        return [replace(one, split=sides[one.source]) for one in found if one.source in sides]
