"""PH2: dermoscopy of nevi and melanomas with the lesion's mask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.adapters.tables import column, number, read_table
from vesalius.data.labels import LabelSpec
from vesalius.errors import ManifestError
from vesalius.records.sample import Sample

__all__ = ["Ph2Adapter"]

_IMAGE = re.compile(r"^IMD\d{3}$")
_TABLES = ("PH2_dataset.txt", "PH2_dataset.csv")
_DIAGNOSES = ("common_nevus", "atypical_nevus", "melanoma")


class Ph2Adapter(Adapter):
    """`PH2 Dataset images/IMD002/IMD002_{Dermoscopic_Image,lesion}/*.bmp` with `PH2_dataset.txt`.

    Or `images/` and `labels/` with a `PH2_dataset.csv` of the same columns, as mirrors have it. Each image is a lesion
    of its own.
    """

    name: ClassVar[str] = "ph2"
    title: ClassVar[str] = "PH2"
    layout: ClassVar[str] = (
        "PH2_dataset.{txt,csv} + **/IMDnnn.{bmp,jpg,png} + **/IMDnnn_lesion.bmp or labels/IMDnnn.png"
    )
    citation: ClassVar[str] = "Mendonca et al., EMBC 2013:5437-5440"
    licence: ClassVar[str] = "research and education"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The clinical diagnosis, and whether it is melanoma."""
        return {
            "diagnosis": LabelSpec(kind="multiclass", classes=_DIAGNOSES, description="clinical diagnosis"),
            "melanoma": LabelSpec(kind="binary", description="melanoma against nevi"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """The table is there."""
        return any((folder / name).is_file() for name in _TABLES)

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image; rows without an image are passed over, as mirrors hold a part of the set."""
        base = self.base(root)
        listed = self.list_images(base, root)
        table = next(base / name for name in _TABLES if (base / name).is_file())
        known = _diagnoses(table)
        masks = {path.stem.removesuffix("_lesion"): path for path in listed if _is_mask(path)}
        images = [path for path in listed if _IMAGE.match(path.stem) and not _is_mask(path)]
        absent = len(set(known) - {path.stem for path in images})
        if absent:
            self.note(f"{absent} rows of {table.name} have no image here and are passed over")
        found = []
        for path in images:
            diagnosis = known.get(path.stem)
            melanoma = None if diagnosis is None else int(diagnosis == _DIAGNOSES.index("melanoma"))
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=path.stem,
                    labels={"diagnosis": diagnosis, "melanoma": melanoma},
                    masks={"lesion": masks[path.stem]} if path.stem in masks else {},
                )
            )
        return found


def _is_mask(path: Path) -> bool:
    return path.stem.endswith("_lesion") or path.parent.name.lower() in ("labels", "masks")


def _diagnoses(table: Path) -> dict[str, int]:
    """Read name and clinical diagnosis; the text form draws its columns with double bars, and a legend below."""
    if table.suffix == ".csv":
        frame = read_table(table, required=("Name", "Clinical Diagnosis"))
        names, cells = column(frame, "Name", table=table), column(frame, "Clinical Diagnosis", table=table)
        rows = [(str(one).strip(), str(cell)) for one, cell in zip(names, cells, strict=True)]
    else:
        lines = table.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        cells_of = [[cell.strip() for cell in line.split("||")] for line in lines if line.strip().startswith("||")]
        head = next((row for row in cells_of if "Name" in row and "Clinical Diagnosis" in row), None)
        if head is None:
            raise ManifestError(f"{table}: no line with the columns Name and Clinical Diagnosis; copy it again")
        name, diagnosis = head.index("Name"), head.index("Clinical Diagnosis")
        whole = [row for row in cells_of if len(row) > max(name, diagnosis)]
        rows = [(row[name], row[diagnosis]) for row in whole]
    found = {}
    for image, cell in ((image, cell) for image, cell in rows if _IMAGE.match(image)):  # a legend stands below them
        value = number(cell, low=0.0, high=2.0)
        if value is None or value != int(value):
            raise ManifestError(f"{table}: {image} has clinical diagnosis {cell!r}; expected 0, 1 or 2")
        found[image] = int(value)
    return found
