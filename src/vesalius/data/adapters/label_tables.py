"""Which column of a label table is the image, the patient, the study, the split, and which are labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from vesalius.data.adapters.tables import column
from vesalius.errors import ManifestError

__all__ = ["TableColumns", "choose_columns"]

_NAMES = {
    "patient": ("patient", "patientid", "subject", "subjectid", "person", "personid", "case", "caseid"),
    "study": ("study", "studyid", "studyinstanceuid", "accession", "accessionnumber"),
    "split": ("split", "fold", "subset", "partition", "set"),
}
_SPLIT_WORDS = frozenset({"train", "training", "val", "valid", "validation", "test", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """Column names by role; None is not given (or, once chosen, not there)."""

    image: str | None = None
    patient: str | None = None
    study: str | None = None
    split: str | None = None
    labels: Sequence[str] | None = None


def choose_columns(
    frame: pd.DataFrame, wanted: TableColumns, images: Sequence[Path], *, table: Path
) -> tuple[TableColumns, list[str]]:
    """Fill in the roles that were not given, and say what was guessed.

    Args:
        frame: The table, text cells.
        wanted: What the user named.
        images: The images of the folder, to find the column that speaks of them.
        table: For messages.

    Returns:
        The columns, all of which exist, and one sentence a guess.

    Raises:
        ManifestError: If a named column is missing, or no column holds the names of images.
    """
    notes: list[str] = []
    for name in (wanted.image, wanted.patient, wanted.study, wanted.split, *(wanted.labels or ())):
        if name is not None:
            column(frame, name, table=table)
    chosen = wanted
    if chosen.image is None:
        chosen = replace(chosen, image=_image_column(frame, images, table))
        notes.append(f"{table.name}: column '{chosen.image}' taken as the image (guessed)")
    for role, names in _NAMES.items():
        if getattr(chosen, role) is not None:
            continue
        guess = next((name for name in frame.columns if _plain(str(name)) in names and name != chosen.image), None)
        if guess is not None and role == "split" and not set(frame[guess].str.strip().str.lower()) <= _SPLIT_WORDS:
            guess = None
        if guess is not None:
            chosen = replace(chosen, **{role: guess})
            notes.append(f"{table.name}: column '{guess}' taken as the {role} (guessed)")
    taken = {chosen.image, chosen.patient, chosen.study, chosen.split}
    if chosen.labels is None:
        rest = [str(name) for name in frame.columns if name and name not in taken]
        chosen = replace(chosen, labels=rest)
        notes.append(f"{table.name}: all other columns taken as labels: {', '.join(rest) or 'none'} (guessed)")
    return chosen, notes


def _image_column(frame: pd.DataFrame, images: Sequence[Path], table: Path) -> str:
    known = {path.name for path in images} | {path.stem for path in images}
    best, score = "", 0.0
    for name in frame.columns:
        cells = [Path(str(cell).replace("\\", "/")).name for cell in frame[name]]
        share = sum(cell in known for cell in cells) / max(len(cells), 1)
        if share > score:
            best, score = str(name), share
    if not best:
        listed = ", ".join(f"'{name}'" for name in frame.columns)
        raise ManifestError(
            f"{table}: no column names images of the folder (columns: {listed}); say which with image_column"
        )
    return best


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
