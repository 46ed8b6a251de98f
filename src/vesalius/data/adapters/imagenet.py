"""ImageNet, and sets in its layout such as ImageNet-100: a folder a class, named by its synset."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import child_folders, source_of
from vesalius.data.adapters.tables import column, has_columns, read_lines, read_table
from vesalius.data.labels import LabelSpec
from vesalius.errors import DatasetError, ManifestError
from vesalius.records.sample import Sample

__all__ = ["ImageNetAdapter"]

_SYNSET = re.compile(r"^n\d{8}$")
_SOLUTION = "LOC_val_solution.csv"


class ImageNetAdapter(Adapter):
    """`train/<synset>/*.JPEG` and `val/<synset>/*.JPEG`, or `train.X1` to `train.X4` and `val.X` of ImageNet-100.

    A flat `val/`, as published (`ILSVRC/Data/CLS-LOC/`), is read with `LOC_val_solution.csv`. Names come from
    `Labels.json` or `LOC_synset_mapping.txt` where one is there, else the synset is the name.
    """

    name: ClassVar[str] = "imagenet"
    title: ClassVar[str] = "ImageNet / ImageNet-100"
    layout: ClassVar[str] = "train*/nNNNNNNNN/*.JPEG + val*/nNNNNNNNN/*.JPEG (+ Labels.json, LOC_*.{txt,csv})"
    citation: ClassVar[str] = "Russakovsky et al., IJCV 115:211-252, 2015"
    licence: ClassVar[str] = "research and education, on registration"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A training folder of synsets, whose folders hold the images themselves."""
        sides = _sides(_inner(folder), "train")
        classes = [child for side in sides for child in child_folders(side)[:1] if _SYNSET.match(child.name)]
        return any(not child_folders(child) for child in classes)

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image, each its own patient; classes are those of the training side."""
        base = _inner(self.base(root))
        train = [
            (path, path.parent.name, "train") for side in _sides(base, "train") for path in self.list_images(side, root)
        ]
        train = [one for one in train if _SYNSET.match(one[1])]
        if not train:
            raise DatasetError(f"{root}: no image in a folder train*/nNNNNNNNN; read it by --dataset folder")
        synsets = sorted({synset for _, synset, _ in train})
        solved = _solution(base)
        val = []
        for side in _sides(base, "val"):
            for path in self.list_images(side, root):
                synset = path.parent.name if _SYNSET.match(path.parent.name) else solved.get(path.stem, "")
                val.append((path, synset, "val"))
        unknown = sum(synset not in synsets for _, synset, _ in val)
        if unknown:
            self.warn(f"{unknown} validation images are of no class of the training side and stay unlabelled")
        names = _names(base)
        classes = tuple(names.get(synset, synset) for synset in synsets)
        if len(set(classes)) < len(classes):  # two synsets of ImageNet are called crane, two maillot
            classes = tuple(f"{names.get(synset, synset)} ({synset})" for synset in synsets)
        self.labels["class"] = LabelSpec(kind="multiclass", classes=classes, description="synset of the image")
        place = {synset: number for number, synset in enumerate(synsets)}
        return [
            Sample(
                path=path,
                source=(source := source_of(path, root)),
                patient=source,
                split=side,
                labels={"class": place.get(synset)},
            )
            for path, synset, side in (*train, *val)
        ]


def _inner(folder: Path) -> Path:
    """Return the folder of the sides, which the published archive keeps far below its tables."""
    inside = (folder / "ILSVRC" / "Data" / "CLS-LOC", folder / "Data" / "CLS-LOC")
    return next((one for one in inside if one.is_dir()), folder)


def _beside(base: Path, name: str) -> Path | None:
    """Return a table beside the sides or up to three folders above them."""
    return next((one / name for one in (base, *base.resolve().parents[:3]) if (one / name).is_file()), None)


def _sides(folder: Path, side: str) -> list[Path]:
    return [child for child in child_folders(folder) if child.name == side or child.name.startswith(f"{side}.X")]


def _names(base: Path) -> dict[str, str]:
    """Return each synset's first name."""
    table, mapping = _beside(base, "Labels.json"), _beside(base, "LOC_synset_mapping.txt")
    if table is not None:
        try:
            content = json.loads(table.read_text(encoding="utf-8"))
            return {str(synset): str(names).split(",")[0].strip() for synset, names in content.items()}
        except (OSError, ValueError, AttributeError) as error:
            raise ManifestError(f"{table}: is not a table of synsets and names ({error}); copy it again") from error
    lines = [] if mapping is None else read_lines(mapping)
    pairs = (line.partition(" ") for line in lines)
    return {synset: names.split(",")[0].strip() for synset, _, names in pairs if _SYNSET.match(synset)}


def _solution(base: Path) -> dict[str, str]:
    """Read the published answers of a flat validation folder: image to synset."""
    table = _beside(base, _SOLUTION)
    if table is None or not has_columns(table, "ImageId", "PredictionString"):
        return {}
    frame = read_table(table)
    answers = zip(column(frame, "ImageId", table=table), column(frame, "PredictionString", table=table), strict=True)
    return {str(image).strip(): str(answer).split(" ")[0] for image, answer in answers}
