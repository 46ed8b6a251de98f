"""Leaving classes that no image of a store has out of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from vesalius.data.labels import LabelSpec
from vesalius.data.manifest import label_column

__all__ = ["keep_shown_classes"]

_FEWEST = 2


def keep_shown_classes(
    table: pd.DataFrame, labels: Mapping[str, LabelSpec]
) -> tuple[pd.DataFrame, dict[str, LabelSpec], tuple[str, ...]]:
    """Return the table and what its labels mean without the classes that no row has, and notes that name these.

    Multi-class labels alone: of ordinal ones the distances count, so they keep every grade. A label of which fewer
    than two classes are shown stays as it is, and is refused by what needs two.

    Args:
        table: One row an image, a column a label, see `vesalius.data.manifest.label_column`.
        labels: What the labels mean.
    """
    columns: dict[str, pd.Series] = {}
    specs, notes = dict(labels), []
    for name, spec in labels.items():
        values = table[label_column(name)]
        shown = sorted({int(value) for value in values.dropna()}) if spec.kind == "multiclass" else []
        unseen = [one for place, one in enumerate(spec.classes) if place not in shown]
        known = set(shown) <= set(range(len(spec.classes)))  # else the manifest refuses it
        if not unseen or not known or len(shown) < _FEWEST:
            continue
        place_of = {value: place for place, value in enumerate(shown)}
        columns[label_column(name)] = pd.Series(
            [None if pd.isna(value) else place_of[int(value)] for value in values], index=values.index, dtype=object
        )
        specs[name] = replace(spec, classes=tuple(spec.classes[value] for value in shown))
        notes.append(f"label {name}: no image is {', '.join(unseen)}, so its classes are the {len(shown)} others")
    return table.assign(**columns), specs, tuple(notes)
