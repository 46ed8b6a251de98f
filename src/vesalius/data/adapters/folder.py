"""Any folder of images, with or without a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from vesalius.data.adapters.folder_masks import FolderMasks, find_masks
from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.label_tables import TableColumns, choose_columns, names_in
from vesalius.data.adapters.listing import inside, source_of, stem_of
from vesalius.data.adapters.part_values import read_part_values
from vesalius.data.adapters.tables import column, read_table
from vesalius.data.labels import LabelSpec, guess_label, or_missing
from vesalius.data.masks import LABEL_MAP
from vesalius.errors import DatasetError, ManifestError
from vesalius.records.sample import Sample

__all__ = ["FolderAdapter"]

_ONE_PART = "mask"
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_Labels = dict[str, "float | int | str | None"]


class FolderAdapter(Adapter):
    """Every image under a folder; labels, patients and splits from a CSV, or labels from the sub-folders' names.

    What the table's columns mean is taken from the options, else guessed from their names and contents; each guess is
    told in `notes`.
    """

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = "a folder of images"
    layout: ClassVar[str] = "any images, in any sub-folders; optional CSV with image, patient and label columns"
    licence: ClassVar[str] = "yours"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Every folder is one."""
        return folder.is_dir()

    def collect(
        self,
        root: Path,
        *,
        labels_csv: Path | None = None,
        image_column: str | None = None,
        patient_column: str | None = None,
        study_column: str | None = None,
        split_column: str | None = None,
        label_columns: Sequence[str] | None = None,
        labels_from: Literal["csv", "folders", "none"] = "csv",
        parts: Sequence[str] | None = None,
    ) -> list[Sample]:
        """Return every image, and every row whose image is missing.

        Args:
            root: The folder.
            labels_csv: The table; without it, the only CSV at the top of the folder that speaks of its images.
            image_column: Column with the file name, the path inside the folder, or the name without extension.
            patient_column: Column with the patient.
            study_column: Column with the study.
            split_column: Column with `train`, `val` or `test`.
            label_columns: Columns to keep as labels; all the others by default.
            labels_from: `folders` makes one label `folder` of the last sub-folder's name and reads no CSV, `none`
                leaves tables and folder names alone.
            parts: `heart=1,lung=2`: the masks are label maps with these values (8 or 16 bits); without it, masks of one
                part.

        Raises:
            DatasetError: If an option is unknown, the folder holds nothing that may be an image, or no label maps;
                masks that cannot be told from images, see `find_masks`.
            ManifestError: If the table is malformed or names an image twice, or none of its images is there.
        """
        listed = self.list_images(root, root)
        found = find_masks(listed, root)
        masks = dict(found.of)
        self._tell_masks(found, root)
        self.parts = read_part_values(parts or ())
        if self.parts and not masks:
            raise DatasetError(f"{root}: parts is given, and no masks are there; put them in masks/ beside images/")
        no_images = found.files
        images = [path for path in listed if path not in no_images]
        wanted = TableColumns(
            image=image_column, patient=patient_column, study=study_column, split=split_column, labels=label_columns
        )
        table = labels_csv if labels_csv is not None else self._find_table(root, images, labels_from)
        if table is not None and labels_from == "csv":
            return self._from_table(table, wanted, images, masks, root)
        if not images:
            raise DatasetError(
                f"{root}: no images in it ({len(self.ignored)} other files); give the folder that has them"
            )
        labels: list[_Labels] = self._from_folders(images, root) if labels_from == "folders" else [{} for _ in images]
        return [
            Sample(path=path, source=source_of(path, root), labels=known, masks=self._mask_of(path, masks))
            for path, known in zip(images, labels, strict=True)
        ]

    def _tell_masks(self, found: FolderMasks, root: Path) -> None:
        if found.of:
            folders = ", ".join(sorted({source_of(mask.parent, root) for mask in found.of.values()}))
            self.note(f"{len(found.of)} files in {folders} taken as masks of the images of the same name (guessed)")
        if found.lost:
            first = source_of(found.lost[0], root)
            self.warn(f"{len(found.lost)} files beside masks are named as no image, and left out (first: {first})")

    def _mask_of(self, path: Path, masks: dict[Path, Path]) -> dict[str, Path]:
        return {LABEL_MAP if self.parts else _ONE_PART: masks[path]} if path in masks else {}

    def _find_table(self, root: Path, images: Sequence[Path], labels_from: str) -> Path | None:
        if labels_from != "csv":
            return None
        known = {name for path in images for name in (path.name, stem_of(path))}
        fitting: list[Path] = []
        tables = [
            one for one in root.iterdir() if one.suffix.lower() in (".csv", ".tsv") and not one.name.startswith(".")
        ]
        for table in sorted(tables):
            try:
                frame = read_table(table)
            except ManifestError as error:
                self.warn(f"table passed over: {error}")
                continue
            if any(not known.isdisjoint(names_in(frame[name])) for name in frame.columns):
                fitting.append(table)
            else:
                self.warn(
                    f"table passed over: {table.name} names no image of the folder (its columns: "
                    f"{', '.join(map(str, frame.columns[:5]))}); name it with labels_csv if it should"
                )
        if len(fitting) > 1:
            names = ", ".join(table.name for table in fitting)
            raise DatasetError(f"{root}: several tables speak of its images ({names}); name one with labels_csv")
        if fitting:
            self.note(f"labels read from {fitting[0].name} (guessed: it names images of the folder)")
        return fitting[0] if fitting else None

    def _from_table(
        self, table: Path, wanted: TableColumns, images: Sequence[Path], masks: dict[Path, Path], root: Path
    ) -> list[Sample]:
        frame = read_table(table)
        columns, notes = choose_columns(frame, wanted, images, table=table)
        for note in notes:
            self.note(note)
        frame = self._named_rows(frame, str(columns.image), table)
        by_key = _by_key(images, root)
        cells = column(frame, str(columns.image), table=table)
        paths = [_locate(str(cell), by_key, root, table) for cell in cells]
        twice = [path for path, count in Counter(paths).items() if count > 1]
        if twice:
            first = source_of(twice[0], root)
            raise ManifestError(
                f"{table}: image {first!r} has {Counter(paths)[twice[0]]} rows; keep one, "
                "or read the folder without its table (labels_from 'none')"
            )
        there = set(images)
        missing = [path for path in paths if path not in there]
        if len(missing) == len(paths) and paths:
            raise ManifestError(
                f"{table}: none of its {len(paths)} images is in {root} (column '{columns.image}', first "
                f"{source_of(missing[0], root)!r}); name the right column with image_column"
            )
        if missing:
            self.warn(
                f"{len(missing)} images of {table.name} are not in the folder (first: {source_of(missing[0], root)})"
            )
        found = self._rows(frame, columns, paths, masks, root=root, table=table)
        extra = sorted(there - set(paths))
        if extra:
            first = source_of(extra[0], root)
            self.warn(f"{len(extra)} images have no row in {table.name} and stay unlabelled (first: {first})")
        blank: _Labels = dict.fromkeys(self.labels)
        found += [
            Sample(path=path, source=source_of(path, root), labels=blank, masks=self._mask_of(path, masks))
            for path in extra
        ]
        return sorted(found, key=lambda sample: sample.source)

    def _named_rows(self, frame: pd.DataFrame, image: str, table: Path) -> pd.DataFrame:
        named = column(frame, image, table=table).str.strip() != ""
        if not named.all():
            self.warn(f"{int((~named).sum())} rows of {table.name} name no image in column '{image}' and are left out")
        return frame[named]

    def _rows(
        self,
        frame: pd.DataFrame,
        columns: TableColumns,
        paths: Sequence[Path],
        masks: dict[Path, Path],
        *,
        root: Path,
        table: Path,
    ) -> list[Sample]:
        values: dict[str, list[float | int | str | None]] = {}
        for name in columns.labels or ():
            self.labels[name], values[name] = guess_label(
                column(frame, name, table=table), description=f"column {name}"
            )
        ids = {
            role: [or_missing(cell) for cell in column(frame, name, table=table)] if name else [None] * len(paths)
            for role, name in (("patient", columns.patient), ("study", columns.study), ("split", columns.split))
        }
        return [
            Sample(
                path=path,
                source=source_of(path, root),
                patient=ids["patient"][position],
                study=ids["study"][position],
                split=_split(ids["split"][position], table),
                labels={name: cells[position] for name, cells in values.items()},
                masks=self._mask_of(path, masks),
            )
            for position, path in enumerate(paths)
        ]

    def _from_folders(self, images: Sequence[Path], root: Path) -> list[_Labels]:
        names = [path.parent.name if path.parent != root else None for path in images]
        classes = sorted({name for name in names if name is not None})
        if len(classes) < 2:
            raise DatasetError(f"{root}: labels from folders need images in at least two sub-folders, found {classes}")
        kind: Literal["binary", "multiclass"] = "binary" if len(classes) == 2 else "multiclass"
        self.labels["folder"] = LabelSpec(kind=kind, classes=tuple(classes), description="name of the sub-folder")
        return [{"folder": None if name is None else classes.index(name)} for name in names]


def _by_key(images: Sequence[Path], root: Path) -> dict[str, Path]:
    """Index by path, file name and stem; a name or stem that two files share leads to neither."""
    found: dict[str, Path] = {}
    for keys in ([stem_of(path) for path in images], [path.name for path in images]):
        counts = Counter(keys)
        found |= {key: path for key, path in zip(keys, images, strict=True) if counts[key] == 1}
    return found | {source_of(path, root): path for path in images}


def _locate(cell: str, by_key: dict[str, Path], root: Path, table: Path) -> Path:
    path = inside(root, cell, table=table)
    return by_key.get(source_of(path, root), path)


def _split(cell: str | None, table: Path) -> str | None:
    if cell is None:
        return None
    if cell.lower() not in _SPLITS:
        raise ManifestError(f"{table}: split {cell!r}; expected train, val or test")
    return _SPLITS[cell.lower()]
