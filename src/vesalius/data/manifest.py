"""The table of a store: one row an image, its columns and types, and the salted hashes that stand for patients.

The only column that can name a patient is `source`, the path inside the data set (hospitals put ids into file names);
everything else that identifies is a keyed hash, so a manifest without `source` may be passed on.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from vesalius.errors import ManifestError

__all__ = [
    "COLUMNS",
    "LABEL_DTYPES",
    "check_manifest",
    "hashed_id",
    "label_column",
    "read_manifest",
    "safe_source",
    "write_manifest",
]

COLUMNS: Mapping[str, str] = {
    "image_id": "str",
    "source": "str",
    "frame": "int32",
    "sha256": "str",
    "pixel_sha256": "str",
    "patient": "str",
    "patient_known": "bool",
    "study": "str",
    "volume": "str",
    "slice_mm": "Float64",
    "split": "str",
    "original_width": "int32",
    "original_height": "int32",
    "spacing_x_mm": "Float64",
    "spacing_y_mm": "Float64",
    "scale_x": "float64",
    "scale_y": "float64",
    "offset_x": "float64",
    "offset_y": "float64",
    "window_low": "float64",
    "window_high": "float64",
    "window_source": "str",
    "bits": "int16",
    "inverted": "bool",
    "colour": "bool",
    "has_masks": "bool",
}
"""Name and pandas type of every fixed column; `study`, `volume`, `slice_mm` and the spacings may be missing."""

LABEL_DTYPES: Mapping[str, str] = {
    "binary": "Float64",  # a float, because soft policies for uncertain labels give values between 0 and 1
    "multilabel": "Float64",
    "number": "Float64",
    "multiclass": "Int64",
    "ordinal": "Int64",
    "text": "str",
}
"""Type of a label's column by the label's kind; `multiclass` and `ordinal` hold the index of the class."""

_NULLABLE = frozenset({"study", "volume", "slice_mm", "spacing_x_mm", "spacing_y_mm"})
_SPLITS = frozenset({"train", "val", "test"})


def label_column(name: str) -> str:
    """Return the manifest column of a label."""
    return f"label_{name}"


def hashed_id(salt: bytes, kind: str, *parts: str) -> str:
    """Return 16 hex digits that stand for an id: HMAC-SHA256 keyed with the salt.

    Args:
        salt: The secret kept beside the store; the same id and salt always give the same digits.
        kind: `image`, `patient`, `study` or `volume`, so that equal texts of different kinds do not meet.
        parts: The id, in as many parts as make it unique (data set, patient number).
    """
    message = "\x00".join((kind, *parts)).encode("utf-8", "surrogateescape")
    return hmac.new(salt, message, hashlib.sha256).hexdigest()[:16]


def safe_source(source: str) -> str:
    """Return `source` as a clean relative path with forward slashes.

    Raises:
        ManifestError: Where it is absolute, empty, or climbs out of the data set by `..`.
    """
    text = source.replace("\\", "/")
    path = PurePosixPath(text)
    drive = len(text) > 1 and text[1] == ":" and text[0].isalpha()
    if not text or "\x00" in text or path.is_absolute() or drive or ".." in path.parts or str(path) == ".":
        raise ManifestError(f"path {source!r} does not stay inside the data set; use paths relative to its folder")
    return str(path)


def check_manifest(table: pd.DataFrame, labels: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the table with its columns in order and of their types.

    Args:
        table: One row an image.
        labels: Label name to `{"kind": ..., "classes": [...]}`.

    Raises:
        ManifestError: For a missing or unknown column, a duplicate image id, an empty field, an unknown split, a path
            outside the data set, or a class index that its label does not have.
    """
    dtypes = dict(COLUMNS) | {label_column(name): LABEL_DTYPES[str(spec["kind"])] for name, spec in labels.items()}
    missing = [name for name in dtypes if name not in table.columns]
    unknown = [str(name) for name in table.columns if name not in dtypes]
    if missing or unknown:
        raise ManifestError(f"manifest: missing columns {missing}, unknown columns {unknown}; columns are {[*dtypes]}")
    try:
        checked = pd.DataFrame({name: table[name].astype(dtype) for name, dtype in dtypes.items()})  # type: ignore[call-overload]
    except (ValueError, TypeError) as error:
        raise ManifestError(f"manifest: a column holds values of the wrong type: {error}") from error
    _check_values(checked, labels)
    return checked.reset_index(drop=True)


def _check_values(table: pd.DataFrame, labels: Mapping[str, Mapping[str, Any]]) -> None:
    for name in COLUMNS:
        if name not in _NULLABLE and table[name].isna().any():
            raise ManifestError(f"manifest: {int(table[name].isna().sum())} rows have no {name}")
    twice = table.loc[table["image_id"].duplicated(), "source"]
    if len(twice):
        raise ManifestError(f"manifest: {len(twice)} images are named twice, for example {twice.head(5).to_list()}")
    strange = sorted(set(table["split"]) - _SPLITS)
    if strange:
        raise ManifestError(f"manifest: splits {strange}; a split is one of {sorted(_SPLITS)}")
    for source in table["source"]:
        safe_source(source)
    for name, spec in labels.items():
        if spec["kind"] not in ("multiclass", "ordinal"):
            continue
        values = table[label_column(name)].dropna()
        classes = len(spec["classes"])
        if len(values) and (values.min() < 0 or values.max() >= classes):
            raise ManifestError(f"manifest: label {name!r} has values outside its {classes} classes 0..{classes - 1}")


def write_manifest(path: Path, table: pd.DataFrame) -> None:
    """Write the table as Parquet; equal tables give equal bytes."""
    table.to_parquet(path, engine="pyarrow", compression="zstd", index=False)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a table that `write_manifest` wrote.

    Raises:
        ManifestError: Where the file is not readable Parquet.
    """
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: not a readable manifest: {error}; prepare the store again") from error
