"""NIH ChestX-ray14, the original table or a reduced one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import named_once, source_of
from vesalius.data.adapters.tables import has_columns, number, read_lines, read_table
from vesalius.data.labels import LabelSpec
from vesalius.errors import ManifestError, nearest
from vesalius.records.sample import Sample

__all__ = ["NIH_FINDINGS", "NihAdapter"]

NIH_FINDINGS: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
_ORIGINAL = {
    "image": "Image Index",
    "findings": "Finding Labels",
    "patient": "Patient ID",
    "age": "Patient Age",
    "sex": "Patient Gender",
    "view": "View Position",
}
_REDUCED = {
    "image": "image",
    "findings": "nih_finding_labels",
    "patient": "patient_id",
    "age": "age",
    "sex": "sex",
    "view": "view",
}
_MOST_YEARS = 110.0


class NihAdapter(Adapter):
    """`Data_Entry_2017.csv` beside `images*/` (Wang et al., CVPR 2017), or a `labels.csv` with its main columns."""

    name: ClassVar[str] = "nih"
    title: ClassVar[str] = "NIH ChestX-ray14"
    layout: ClassVar[str] = (
        "Data_Entry_2017*.csv + images*/**/*.png, or labels.csv (image, nih_finding_labels, ...) + images/"
    )
    citation: ClassVar[str] = "Wang et al., ChestX-ray8, CVPR 2017"
    licence: ClassVar[str] = "free to use, cite the paper and the NIH Clinical Center"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The 14 findings, any of them, and sex, age and view."""
        findings = {
            name.lower(): LabelSpec(kind="binary", description=f"{name} (read from the report by a program)")
            for name in NIH_FINDINGS
        }
        return {
            **findings,
            "any_finding": LabelSpec(kind="binary", description="any of the 14 findings"),
            "sex": LabelSpec(kind="binary", classes=("female", "male"), description="sex in the record"),
            "age": LabelSpec(kind="number", description="age in years"),
            "view": LabelSpec(kind="binary", classes=("PA", "AP"), description="projection"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """One of the two tables is there."""
        return _find_table(folder) is not None

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample a row; rows whose image is missing are kept, images without a row are told in `warnings`.

        Raises:
            ManifestError: If the table is malformed, names a finding that is not of the 14, or an image twice.
        """
        base = self.base(root)
        table, columns = _find_table(base) or (base / "labels.csv", _REDUCED)
        frame = read_table(table, required=columns.values())
        listed = self.list_images(base, root)
        by_name = named_once(listed, lambda path: path.name, root)
        splits = _given_split(base)
        self.warn("labels were read from reports by a program and are wrong in roughly one case of ten")
        found: list[Sample] = []
        seen: set[str] = set()
        for row in frame.rename(columns={raw: plain for plain, raw in columns.items()}).to_dict("records"):
            cells = {str(key): str(value) for key, value in row.items()}
            image = cells["image"].strip()
            if not image or "/" in image or "\\" in image:
                raise ManifestError(f"{table}: image {image!r}: expected a plain file name such as 00000001_000.png")
            if image in seen:
                raise ManifestError(f"{table}: image {image!r} has two rows; keep one")
            seen.add(image)
            path = by_name.get(image, base / "images" / image)
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=cells["patient"].strip() or None,
                    split=splits.get(image),
                    labels=_labels(cells, table),
                )
            )
        self._compare(set(by_name), seen, table)
        return found

    def _compare(self, there: set[str], named: set[str], table: Path) -> None:
        extra = sorted(there - named)
        if extra:
            self.warn(f"{len(extra)} images have no row in {table.name} and are left out (first: {extra[0]})")
        missing = sorted(named - there)
        if missing:
            self.warn(f"{len(missing)} images of {table.name} are not in the folder (first: {missing[0]})")


def _find_table(folder: Path) -> tuple[Path, Mapping[str, str]] | None:
    for table in sorted(folder.glob("Data_Entry_2017*.csv")):
        if has_columns(table, _ORIGINAL["image"], _ORIGINAL["findings"]):
            return table, _ORIGINAL
    if has_columns(folder / "labels.csv", _REDUCED["image"], _REDUCED["findings"]):
        return folder / "labels.csv", _REDUCED
    return None


def _given_split(folder: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for file, split in (("train_val_list.txt", "train"), ("test_list.txt", "test")):
        splits |= dict.fromkeys((line.strip() for line in read_lines(folder / file)), split)
    return splits


def _labels(cells: Mapping[str, str], table: Path) -> dict[str, float | int | str | None]:
    named = {finding.strip() for finding in cells["findings"].split("|")} - {"No Finding", ""}
    unknown = sorted(named - set(NIH_FINDINGS))
    if unknown:
        raise ManifestError(f"{table}: unknown finding {unknown[0]!r}{nearest(unknown[0], NIH_FINDINGS)}")
    told = bool(cells["findings"].strip())
    labels: dict[str, float | int | str | None] = {
        name.lower(): int(name in named) if told else None for name in NIH_FINDINGS
    }
    labels["any_finding"] = int(bool(named)) if told else None
    labels["sex"] = {"f": 0, "m": 1}.get(cells["sex"].strip().lower()[:1])
    # A few rows of the first release give ages such as 411 years; these count as unknown.
    labels["age"] = _age_years(cells["age"])
    labels["view"] = {"PA": 0, "AP": 1}.get(cells["view"].strip().upper())
    return labels


def _age_years(text: str) -> float | None:
    value = number(text, low=0.0)
    unit = text.strip().upper()[-1:]
    if value is not None and unit in {"M", "W", "D"}:
        value /= {"M": 12.0, "W": 52.18, "D": 365.25}[unit]
    return value if value is not None and not pd.isna(value) and value <= _MOST_YEARS else None
