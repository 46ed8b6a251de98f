"""PASCAL VOC: photographs with twenty classes of objects, named and outlined."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.adapters.score_val import score_val
from vesalius.data.adapters.tables import read_lines
from vesalius.data.labels import LabelSpec
from vesalius.data.masks import VOID
from vesalius.errors import DatasetError, ManifestError
from vesalius.records.sample import Sample

__all__ = ["PascalVocAdapter"]

_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_VOID = 255
_SIDES = ("train", "val", "test")


class PascalVocAdapter(Adapter):
    """`JPEGImages/`, `ImageSets/{Segmentation,Main}/*.txt`, `SegmentationClass/*.png`, as in `VOCdevkit/VOC2012`.

    A class is a binary label (difficult ones are unknown); outlines of objects, value 255, are `void`.
    """

    name: ClassVar[str] = "pascal-voc"
    title: ClassVar[str] = "PASCAL VOC"
    layout: ClassVar[str] = "JPEGImages/*.jpg + ImageSets/{Segmentation,Main}/*.txt + SegmentationClass/*.png"
    citation: ClassVar[str] = "Everingham et al., IJCV 88:303-338, 2010"
    licence: ClassVar[str] = "flickr's terms of use"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Which classes an image shows."""
        return {name: LabelSpec(kind="binary", description=f"shows a {name}") for name in _CLASSES}

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Images, and lists of masks or of the twenty classes; other sets in this format name other classes."""
        lists = folder / "ImageSets"
        own = (folder / "SegmentationClass").is_dir() or any((lists / "Main").glob("aeroplane_*.txt"))
        return (folder / "JPEGImages").is_dir() and lists.is_dir() and own

    def collect(
        self,
        root: Path,
        *,
        images: Literal["segmentation", "main"] = "segmentation",
        score: Literal["test", "val"] = "test",
    ) -> list[Sample]:
        """Return one sample an image of the lists, on the side that they give it.

        Args:
            root: The folder with `JPEGImages`, or its parent.
            images: `segmentation`: those with masks; `main`: those of the classification task.
            score: Side that is scored. Nothing is published of `test`, so papers score `val`: it becomes the test side.

        Raises:
            DatasetError: There are no such lists.
        """
        base = self.base(root)
        lists = base / "ImageSets" / ("Segmentation" if images == "segmentation" else "Main")
        sides = {name: side for side in _SIDES for name in _names(lists / f"{side}.txt")}
        if not sides:
            raise DatasetError(
                f"{root}: no list train.txt, val.txt or test.txt in {source_of(lists, root)}; those of the "
                "classification task are read by --option images=main"
            )
        self.parts = dict(enumerate(_CLASSES, start=1)) | {_VOID: VOID}
        labels = {name: _shown(base / "ImageSets" / "Main", name) for name in _CLASSES}
        listed = self.list_images(base / "JPEGImages", root)
        unlisted = sum(path.stem not in sides for path in listed)
        if unlisted:
            self.note(f"{unlisted} images that the lists of {lists.name} do not name are passed over")
        if score == "val":
            sides = score_val(self, sides, where=source_of(lists, root))
        found = []
        for name, side in sorted(sides.items()):
            path = base / "JPEGImages" / f"{name}.jpg"
            mask = base / "SegmentationClass" / f"{name}.png"
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=name,
                    split=side,
                    labels={label: known.get(name) for label, known in labels.items()},
                    masks={"@labelmap": mask} if mask.is_file() else {},
                )
            )
        return found


def _names(table: Path) -> list[str]:
    """Return the first word of each line."""
    words = [line.split()[0] for line in read_lines(table)]
    climbing = [word for word in words if "/" in word or "\\" in word]
    if climbing:
        raise ManifestError(f"{table}: names {climbing[0]!r}, which is no image of JPEGImages")
    return words


def _shown(lists: Path, name: str) -> dict[str, int | None]:
    """Read `<class>_{train,val,test}.txt`: 1 shown, -1 not shown, 0 shown but difficult, which counts as unknown."""
    found: dict[str, int | None] = {}
    for side in _SIDES:
        table = lists / f"{name}_{side}.txt"
        for words in (line.split() for line in read_lines(table)):
            if len(words) != 2 or words[1] not in ("1", "0", "-1"):
                raise ManifestError(f"{table}: line {' '.join(words)!r}; expected an image and 1, 0 or -1")
            found[words[0]] = {"1": 1, "0": None, "-1": 0}[words[1]]
    return found
