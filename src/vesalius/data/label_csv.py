"""Adding labels from a table to the images of a data set that has an adapter of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vesalius.data.adapters.label_tables import patient_column
from vesalius.data.adapters.tables import column, read_table
from vesalius.data.labels import LabelSpec, guess_label, or_missing
from vesalius.errors import ManifestError
from vesalius.records.sample import Sample

__all__ = ["join_labels"]

_IMAGE = "image"
_SHOWN = 5


def join_labels(
    samples: Sequence[Sample], table: Path, *, known: Mapping[str, LabelSpec]
) -> tuple[list[Sample], dict[str, LabelSpec]]:
    """Return the samples with the table's labels (and patients, where it has them), and what the labels mean.

    Args:
        samples: The images.
        table: CSV with a column `image` (path inside the set, file name, or name without extension), optionally
            `patient` (or `patient_id`, `subject`, ...), and one column a label. Images without a row stay unlabelled.
        known: Labels the set already has.

    Raises:
        ManifestError: For a missing column, a label that the set already has, a row twice, an image that the set does
            not have, or a name that several images bear; with counts and up to five examples.
    """
    frame = read_table(table, required=(_IMAGE,))
    names = [cell.strip() for cell in column(frame, _IMAGE, table=table).astype(str)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ManifestError(f"{table}: {_some(twice)} in more than one row; keep one row an image")
    by_name = _index(samples)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ManifestError(f"{table}: {_some(unknown)} not in the data set; take these rows out, or correct the names")
    vague = [name for name in names if len(by_name[name]) > 1]
    if vague:
        raise ManifestError(f"{table}: {_some(vague)} borne by several images; write their paths inside the data set")
    whose = patient_column(frame, image=_IMAGE, table=table)
    labels = [str(name) for name in frame.columns if name not in (_IMAGE, whose)]
    if clash := sorted(set(labels) & set(known)):
        raise ManifestError(f"{table}: the data set already has labels {clash}; rename the columns")
    specs: dict[str, LabelSpec] = {}
    values: dict[str, list[float | int | str | None]] = {}
    for label in labels:
        specs[label], values[label] = guess_label(frame[label], description=f"column {label} of {table.name}")
    patients = [None] * len(names) if whose is None else [or_missing(cell) for cell in frame[whose]]
    row_of = {by_name[name][0]: row for row, name in enumerate(names)}
    joined = []
    for sample in samples:
        row = row_of.get(sample.source)
        further = {label: None if row is None else values[label][row] for label in labels}
        patient = sample.patient if row is None else (patients[row] or sample.patient)
        joined.append(replace(sample, labels={**sample.labels, **further}, patient=patient))
    return joined, specs


def _index(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Return path, file name and stem to the sources that bear it; a whole path beats a name."""
    sources = sorted({sample.source for sample in samples})
    found: dict[str, list[str]] = {}
    for source in sources:
        for name in {Path(source).name, Path(source).stem}:
            found.setdefault(name, []).append(source)
    return found | {source: [source] for source in sources}


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{len(names)} image{'s' if len(names) > 1 else ''} ({shown}{', ...' if len(names) > _SHOWN else ''})"
