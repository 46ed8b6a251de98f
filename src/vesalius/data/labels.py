"""What a label means: its kind, its classes and the values it takes in samples, manifests and stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

__all__ = ["LabelKind", "LabelSpec", "guess_label", "or_missing"]

LabelKind = Literal["binary", "multiclass", "ordinal", "multilabel", "number", "text"]

_TRUE = frozenset({"1", "1.0", "true", "yes", "y", "positive", "pos"})
_FALSE = frozenset({"0", "0.0", "false", "no", "n", "negative", "neg"})
_MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", "?", "unknown"})
_MOST_CLASSES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpec:
    """One label of a data set.

    Values by kind; an unknown value is None:
    `binary` is 0 or 1 (a soft target between them only where a policy asks for it), `multiclass` and `ordinal` are an
    integer index into `classes`, `number` is a float, `text` is a string.

    Attributes:
        kind: See above. A multilabel set is written as several binary labels.
        classes: Names of the values 0, 1, ... in this order; empty for `number` and `text`.
        description: One line for tables and reports.
    """

    kind: LabelKind
    classes: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        """Give a binary label its two class names where none were given."""
        if self.kind == "binary" and not self.classes:
            object.__setattr__(self, "classes", ("no", "yes"))

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {"kind": self.kind, "classes": list(self.classes), "description": self.description}


def or_missing(cell: object) -> str | None:
    """Return a cell's text, or None where it is empty or says that nothing is known (NaN, `NA`, `none`, `?`, ...)."""
    text = str(cell).strip()
    return None if text.lower() in _MISSING else text


def guess_label(values: Iterable[object], *, description: str = "") -> tuple[LabelSpec, list[float | int | str | None]]:
    """Guess the kind of a label from its raw values and return the spec and the values in that kind's terms.

    Two-valued columns become `binary`, up to 50 repeated words or small whole numbers `multiclass`, other numbers
    `number`, the rest `text`.

    Args:
        values: The raw cells, in order; empty, NaN, `NA`, `unknown` and `?` count as missing, and `none` does where the
            other cells are numbers, yes or no: beside words (`mild`, `severe`) it is one of them.
        description: Passed on to the spec.
    """
    texts = [str(value).strip() for value in values]
    cells = [or_missing(text) for text in texts]
    if _are_words({cell for cell in cells if cell is not None}):
        cells = [text if text.lower() == "none" else cell for text, cell in zip(texts, cells, strict=True)]
    present = [cell for cell in cells if cell is not None]
    distinct = sorted(set(present))
    lowered = {cell.lower() for cell in distinct}
    if lowered and lowered <= (_TRUE | _FALSE):
        spec = LabelSpec(kind="binary", description=description)
        return spec, [None if cell is None else int(cell.lower() in _TRUE) for cell in cells]
    numbers = pd.to_numeric(pd.Series(present, dtype=object), errors="coerce")
    if present and not numbers.isna().any():
        return _guess_number(cells, [float(number) for number in numbers], description)
    if len(distinct) > _MOST_CLASSES or len(distinct) == len(present) > 2:
        return LabelSpec(kind="text", description=description), list(cells)
    return _by_class(cells, distinct, description)


def _are_words(cells: set[str]) -> bool:
    """Say whether none of the values is a number, and they are not yes and no."""
    words = {cell.lower() for cell in cells}
    return bool(words - _TRUE - _FALSE) and bool(pd.to_numeric(pd.Series(sorted(words)), errors="coerce").isna().all())


def _guess_number(
    cells: list[str | None], numbers: list[float], description: str
) -> tuple[LabelSpec, list[float | int | str | None]]:
    distinct = sorted(set(numbers))
    whole = all(number.is_integer() for number in distinct)
    if whole and 2 <= len(distinct) <= 10 and distinct[-1] - distinct[0] < 10 and len(distinct) < len(numbers):
        names = [str(int(number)) for number in distinct]
        return _by_class([None if cell is None else str(int(float(cell))) for cell in cells], names, description)
    spec = LabelSpec(kind="number", description=description)
    return spec, [None if cell is None else float(cell) for cell in cells]


def _by_class(
    cells: list[str | None], names: list[str], description: str
) -> tuple[LabelSpec, list[float | int | str | None]]:
    kind: LabelKind = "binary" if len(names) == 2 else "multiclass"
    index = {name: position for position, name in enumerate(names)}
    spec = LabelSpec(kind=kind, classes=tuple(names), description=description)
    return spec, [None if cell is None else index[cell] for cell in cells]
