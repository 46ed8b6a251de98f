"""Reading the tables that come with data sets, with errors that name the nearest column."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from vesalius.errors import ManifestError, nearest

__all__ = ["column", "has_columns", "number", "read_lines", "read_table", "table_columns"]


def read_table(path: Path, *, required: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV (or TSV) as text cells; empty cells are empty strings.

    Args:
        path: The table. A byte-order mark is dropped; the separator follows the extension, and of a CSV its header.
        required: Columns that must be there.

    Raises:
        ManifestError: If the file is missing, empty, not text, ragged, repeats a column or lacks a required one.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ManifestError(f"{path}: not a regular file; name a table in CSV")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            head = lines.readline()
            lines.seek(0)
            rows = [row for row in csv.reader(lines, delimiter=_separator(path, head)) if any(map(str.strip, row))]
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such table") from error
    except (OSError, UnicodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a readable text table ({error}); save it as CSV in UTF-8") from error
    if not rows:
        raise ManifestError(f"{path}: the table is empty; it needs a header row and one row an image")
    header = [cell.strip() for cell in rows[0]]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise ManifestError(f"{path}: the column '{repeated[0]}' occurs twice; rename one")
    for position, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ManifestError(
                f"{path}: row {position} has {len(row)} cells, the header {len(header)}; "
                "put cells that hold the separator in double quotes"
            )
    frame = pd.DataFrame(rows[1:], columns=pd.Index(header), dtype=object)
    for name in required:
        column(frame, name, table=path)
    return frame


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that hold anything; none where there is no such file.

    Raises:
        ManifestError: It is no readable text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    except (OSError, UnicodeError) as error:
        raise ManifestError(f"{path}: not a readable text file ({error}); copy it again") from error
    return [line for line in lines if line.strip()]


def _separator(path: Path, head: str) -> str:
    """Return what parts the cells: of a CSV without a comma in its header the semicolon, as spreadsheets write it."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return ";" if ";" in head and "," not in head else ","


def column(frame: pd.DataFrame, name: str, *, table: Path) -> pd.Series[str]:
    """Return a column.

    Raises:
        ManifestError: If it is not there, naming those that are and the nearest.
    """
    if name not in frame.columns:
        listed = ", ".join(f"'{known}'" for known in list(frame.columns)[:20])
        hint = nearest(name, [str(known) for known in frame.columns])
        raise ManifestError(f"{table}: no column '{name}'; it has {listed}{hint}")
    return frame[name]


def table_columns(path: Path) -> tuple[str, ...]:
    """Return the header of a CSV, or an empty tuple where the file cannot be read as one."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            head = lines.readline(65536)
    except (OSError, UnicodeError):
        return ()
    return tuple(cell.strip().strip('"') for cell in head.rstrip("\r\n").split(_separator(path, head)))


def has_columns(path: Path, *names: str) -> bool:
    """Whether the file is a CSV with all these columns."""
    return path.is_file() and set(names) <= set(table_columns(path))


def number(text: str, *, low: float = float("-inf"), high: float = float("inf")) -> float | None:
    """Return the first number in a cell (`058Y` is 58), or None where there is none or it is out of range."""
    match = re.search(r"-?\d+(?:\.\d+)?", text)
    if match is None:
        return None
    value = float(match.group())
    return value if low <= value <= high else None
