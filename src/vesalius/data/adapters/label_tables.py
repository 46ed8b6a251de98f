"""Which column of a label table is the image, the patient, the study, the split, and which are labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from vesalius.data.adapters.listing import stem_of
from vesalius.data.adapters.tables import column
from vesalius.errors import ManifestError

__all__ = ["TableColumns", "choose_columns", "names_in", "patient_column"]

_NAMES = {
    "patient": ("patient", "patientid", "subject", "subjectid", "person", "personid", "case", "caseid"),
    "study": ("study", "studyid", "studyinstanceuid", "accession", "accessionnumber"),
    "split": ("split", "fold", "subset", "partition", "set"),
}
_LONGEST = 1024
"""Letters of a path; longer cells are texts."""
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
    for role in _NAMES:
        if getattr(chosen, role) is not None:
            continue
        guess = _guess(frame, role, str(chosen.image), table)
        if guess is not None:
            chosen = replace(chosen, **{role: guess})
            notes.append(f"{table.name}: column '{guess}' taken as the {role} (guessed)")
    taken = {chosen.image, chosen.patient, chosen.study, chosen.split}
    if chosen.labels is None:
        rest = [str(name) for name in frame.columns if name and name not in taken]
        chosen = replace(chosen, labels=rest)
        notes.append(f"{table.name}: all other columns taken as labels: {', '.join(rest) or 'none'} (guessed)")
    return chosen, notes


def patient_column(frame: pd.DataFrame, *, image: str, table: Path) -> str | None:
    """Return the column whose name says that it holds patients, or None.

    Raises:
        ManifestError: Several do, and do not group the rows alike.
    """
    return _guess(frame, "patient", image, table)


def _guess(frame: pd.DataFrame, role: str, image: str, table: Path) -> str | None:
    """Return the column of a role by its name, the likeliest name first; a split must also hold the words of one."""
    fitting = [
        str(name) for known in _NAMES[role] for name in frame.columns if _plain(str(name)) == known and name != image
    ]
    if role == "split":
        fitting = [one for one in fitting if set(frame[one].str.strip().str.lower()) <= _SPLIT_WORDS]
    others = [one for one in fitting[1:] if role == "patient" and not _alike(frame, fitting[0], one)]
    if others:
        raise ManifestError(
            f"{table}: columns '{fitting[0]}' and '{others[0]}' may both be the patient, and group the images "
            "otherwise; say which with patient_column, or take one out"
        )
    return fitting[0] if fitting else None


def _alike(frame: pd.DataFrame, one: str, other: str) -> bool:
    """Say whether two columns group the rows alike."""
    pairs = len(frame[[one, other]].drop_duplicates())
    return pairs == frame[one].nunique() == frame[other].nunique()


def _image_column(frame: pd.DataFrame, images: Sequence[Path], table: Path) -> str:
    known = {name for path in images for name in (path.name, stem_of(path))}
    best, score = "", 0.0
    for name in frame.columns:
        share = sum(not known.isdisjoint(names_in([cell])) for cell in frame[name]) / max(len(frame), 1)
        if share > score:
            best, score = str(name), share
    if not best:
        listed = ", ".join(f"'{name}'" for name in frame.columns)
        raise ManifestError(
            f"{table}: no column names images of the folder (columns: {listed}); say which with image_column"
        )
    return best


def names_in(cells: Iterable[object]) -> set[str]:
    """Return what cells may call images: the file's name, and that without its extension."""
    texts = (text for cell in cells if 0 < len(text := str(cell).strip()) <= _LONGEST)
    files = {text.replace("\\", "/").rpartition("/")[2] for text in texts}
    return files | {stem_of(file) for file in files}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
