"""ISIC 2018 and 2019: dermoscopy, with diagnoses, outlines of the lesion, or both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import child_folders, named_once, source_of
from vesalius.data.adapters.tables import column, has_columns, number, read_table, table_columns
from vesalius.data.labels import LabelSpec
from vesalius.errors import ManifestError
from vesalius.records.sample import Sample

__all__ = ["IsicAdapter"]

_CLASSES = {
    "MEL": "melanoma",
    "NV": "nevus",
    "BCC": "basal_cell_carcinoma",
    "AK": "actinic_keratosis",
    "AKIEC": "actinic_keratosis",  # 2018's name of it
    "BKL": "benign_keratosis",
    "DF": "dermatofibroma",
    "VASC": "vascular_lesion",
    "SCC": "squamous_cell_carcinoma",
    "UNK": "other",
}
_NAMES = tuple(dict.fromkeys(_CLASSES.values()))
_IMAGE = re.compile(r"^ISIC_\d{7}(_downsampled)?$")
_MASK = "_segmentation"
_SIDES = {"train": "train", "val": "val", "test": "test"}


class IsicAdapter(Adapter):
    """Folders `*Training_Input`, `*Validation_Input`, `*Test_Input` of images, with the tables and masks beside.

    2018 tasks 1 (masks `<image>_segmentation.png`) and 3 (a one-hot table, `LesionGroupings.csv`), 2019 (a one-hot
    table, `Metadata.csv`). Images of one lesion stay together where a table tells the lesion.
    """

    name: ClassVar[str] = "isic"
    title: ClassVar[str] = "ISIC 2018 / 2019"
    layout: ClassVar[str] = (
        "*_{Training,Validation,Test}_Input/ISIC_*.jpg + *GroundTruth*.csv (image, MEL, NV, ...) and/or "
        "*GroundTruth/ISIC_*_segmentation.png"
    )
    citation: ClassVar[str] = (
        "Codella et al., arXiv 1902.03368; Tschandl et al., Sci Data 5:180161, 2018; Combalia et al., arXiv 1908.02288"
    )
    licence: ClassVar[str] = "CC BY-NC 4.0 (2018 task 1: CC0)"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The diagnosis, and whether it is melanoma."""
        return {
            "diagnosis": LabelSpec(kind="multiclass", classes=_NAMES, description="diagnosis of the lesion"),
            "melanoma": LabelSpec(kind="binary", description="melanoma against all others"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A one-hot table here or in a folder named after ISIC, or masks there that are named after the images."""
        inside = [child for child in child_folders(folder) if "isic" in child.name.lower()]
        tables = (table for one in (folder, *inside) for table in one.glob("*.csv"))
        if any(has_columns(table, "image", "MEL", "NV") for table in tables):
            return True
        return any(next(one.glob(f"ISIC_*{_MASK}.png"), None) is not None for one in inside)

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image; it carries the published side where more than one side is there."""
        base = self.base(root)
        listed = self.list_images(base, root)
        images = [path for path in listed if _IMAGE.match(path.stem)]
        drawn = [path for path in listed if path.stem.endswith(_MASK)]
        masks = named_once(drawn, lambda path: path.stem.removesuffix(_MASK), root)
        tables = sorted(base.rglob("*.csv"))
        diagnosis = _diagnoses([table for table in tables if has_columns(table, "image", "MEL", "NV")])
        lesions = _lesions([table for table in tables if has_columns(table, "image", "lesion_id")])
        if not masks:
            self.note("no masks (*_segmentation.png) are there")
        sides = {path: _side(path, base) for path in images}
        several = len(set(sides.values()) - {None}) > 1
        names = {path.stem.removesuffix("_downsampled") for path in images}
        alone = len(names - set(lesions))
        if alone:
            self.warn(f"no table tells the lesion of {alone} images: pictures of one lesion may sit on two sides")
        missing = sorted(set(diagnosis) - names)
        if missing:
            self.warn(f"{len(missing)} images of the tables are not in the folder (first: {missing[0]})")
        found = []
        for path in images:
            stem = path.stem.removesuffix("_downsampled")
            known = diagnosis.get(stem)
            labels = {"diagnosis": None if known is None else _NAMES.index(known), "melanoma": _is(known, "melanoma")}
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=lesions.get(stem),
                    split=sides[path] if several else None,
                    labels=labels,
                    masks={"lesion": masks[stem]} if stem in masks else {},
                )
            )
        return found


def _is(known: str | None, name: str) -> int | None:
    return None if known is None else int(known == name)


def _side(path: Path, base: Path) -> str | None:
    folders = path.relative_to(base).parts[:-1]
    found = [side for part in folders for word, side in _SIDES.items() if word in part.lower()]
    return found[-1] if found else None


def _diagnoses(tables: Sequence[Path]) -> dict[str, str]:
    """Read one-hot tables: image to the name of its class."""
    found: dict[str, str] = {}
    for table in tables:
        frame = read_table(table, required=("image",))
        columns = [name for name in table_columns(table) if name in _CLASSES]
        cells = [[number(str(cell)) for cell in column(frame, name, table=table)] for name in columns]
        for name, *row in zip(column(frame, "image", table=table), *cells, strict=True):
            ones = [place for place, value in enumerate(row) if value == 1]
            if len(ones) != 1 or any(value not in (0, 1) for value in row):
                raise ManifestError(f"{table}: row of {name!r} has {row}; expected a single 1 among zeros")
            found[str(name).strip().removesuffix("_downsampled")] = _CLASSES[columns[ones[0]]]
    return found


def _lesions(tables: Sequence[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in tables:
        frame = read_table(table, required=("image", "lesion_id"))
        pairs = zip(column(frame, "image", table=table), column(frame, "lesion_id", table=table), strict=True)
        found |= {str(name).strip().removesuffix("_downsampled"): str(one).strip() for name, one in pairs if one}
    return found
