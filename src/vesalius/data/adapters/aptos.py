"""APTOS 2019: photographs of the fundus, graded for diabetic retinopathy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import named_once, source_of
from vesalius.data.adapters.tables import column, has_columns, number, read_table
from vesalius.data.labels import LabelSpec
from vesalius.errors import ManifestError
from vesalius.records.sample import Sample

__all__ = ["AptosAdapter"]

_GRADES = ("none", "mild", "moderate", "severe", "proliferative")
_SIDES = {"train": "train", "valid": "val", "val": "val", "test": "test"}


class AptosAdapter(Adapter):
    """`train.csv` (id_code, diagnosis) with `train_images/<id_code>.png`; mirrors with a graded table a side as well.

    The competition's own test images have no grades; they are listed without one.
    """

    name: ClassVar[str] = "aptos"
    title: ClassVar[str] = "APTOS 2019"
    layout: ClassVar[str] = "train.csv (id_code, diagnosis) + train_images/<id_code>.png (+ test.csv, test_images/)"
    citation: ClassVar[str] = "APTOS 2019 Blindness Detection, Asia Pacific Tele-Ophthalmology Society, Kaggle"
    licence: ClassVar[str] = "the competition's rules: research and education"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The grade, 0 to 4."""
        return {
            "retinopathy": LabelSpec(kind="ordinal", classes=_GRADES, description="grade of diabetic retinopathy, 0-4")
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A table of ids and grades."""
        return bool(_tables(folder))

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image; no patients are published, so each image counts as its own."""
        base = self.base(root)
        self.warn("no patient ids are published: both eyes of a patient may sit on two sides")
        listed = self.list_images(base, root)
        tables = _tables(base)
        rows = [row for table in tables for row in _grades(table)]
        by_stem = named_once(listed, lambda path: path.stem, root)
        twice = len(rows) - len({name for name, _, _ in rows})
        if twice:
            raise ManifestError(f"{base}: {twice} ids have two rows in its tables; keep one of each image")
        found = [
            Sample(
                path=by_stem.get(name, base / "train_images" / f"{name}.png"),
                source=source_of(by_stem.get(name, base / "train_images" / f"{name}.png"), root),
                split=side if len(tables) > 1 else None,
                labels={"retinopathy": grade},
            )
            for name, grade, side in rows
        ]
        graded = {name for name, _, _ in rows}
        others = [path for path in listed if path.stem not in graded]
        if others:
            self.note(f"{len(others)} images have no grade (the competition's test images) and stay unlabelled")
        found += [Sample(path=path, source=source_of(path, root), labels={"retinopathy": None}) for path in others]
        return sorted(found, key=lambda sample: sample.source)


def _tables(folder: Path) -> list[Path]:
    """Return the tables of grades; the competition's sample_submission.csv has the same columns, and no grade."""
    named = (table for table in sorted(folder.glob("*.csv")) if table.stem.lower().startswith(tuple(_SIDES)))
    return [table for table in named if has_columns(table, "id_code", "diagnosis")]


def _grades(table: Path) -> list[tuple[str, int, str | None]]:
    """Return id, grade and side of every row."""
    frame = read_table(table, required=("id_code", "diagnosis"))
    side = next((side for word, side in _SIDES.items() if table.stem.lower().startswith(word)), None)
    found = []
    for name, cell in zip(column(frame, "id_code", table=table), column(frame, "diagnosis", table=table), strict=True):
        grade = number(str(cell), low=0.0, high=4.0)
        if "/" in str(name) or "\\" in str(name):
            raise ManifestError(f"{table}: id {name!r}; expected the name of an image, without a folder")
        if grade is None or grade != int(grade):
            raise ManifestError(f"{table}: row of {name!r} has diagnosis {cell!r}; expected a grade from 0 to 4")
        found.append((str(name).strip(), int(grade), side))
    return found
