"""A result on disk: `result.json`, `scores.parquet`, `predictions.parquet` and `neighbours.json`, all or nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from vesalius.errors import RunError
from vesalius.records.result import Result

__all__ = ["read_result", "result_folder", "scored_store", "write_result"]

_FINGERPRINT = re.compile(r"-([0-9a-f]{8})(?:-[0-9a-f]{6})?$")


def result_folder(
    run: Path, *, task: str, label: str, fingerprint: str, changed: Mapping[str, Any] | None = None
) -> Path:
    """Return `run/evaluations/<task>-<label>-<first 8 digits of the scored store's fingerprint>`.

    Whatever differs from the defaults adds a digest of 6 digits, so that no result replaces one of other settings.

    Args:
        run: The run folder.
        task: `knn` or `linear`.
        label: As asked for.
        fingerprint: Of the store that is scored.
        changed: What differs from the defaults, the store learned on included where it is another one.
    """
    plain = label.replace(",", "+")
    safe = (re.sub(r"[^A-Za-z0-9_.+]+", "_", plain).strip("._") or "label")[:80]
    telling = dict(changed or {})
    if safe != plain or "+" in label:  # two labels may become one file name
        telling["label"] = label
    name = f"{task}-{safe}-{fingerprint[:8]}"
    if telling:
        name += "-" + hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()[:6]
    return run / "evaluations" / name


def scored_store(folder: Path) -> str:
    """Return the first digits of the fingerprint of the store that was scored, from a `result_folder`'s name."""
    named = _FINGERPRINT.search(folder.name)
    return named[1] if named else ""


def write_result(
    folder: Path,
    result: Result,
    *,
    predictions: pd.DataFrame | None = None,
    neighbours: Mapping[str, Any] | None = None,
) -> None:
    """Write a result; the folder appears whole, replacing one of the same name.

    Args:
        folder: See `result_folder`.
        result: What to write. A figure that is not defined (NaN) becomes null in JSON, which knows no NaN.
        predictions: One row an image, arm, fraction and seed.
        neighbours: See `vesalius.evaluation.neighbours`.

    Raises:
        RunError: The folder cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_json(partial / "result.json", result.as_dict())
        pd.DataFrame([asdict(score) for score in result.scores]).to_parquet(partial / "scores.parquet", index=False)
        if predictions is not None:
            predictions.to_parquet(partial / "predictions.parquet", index=False)
        if neighbours is not None:
            _write_json(partial / "neighbours.json", neighbours)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(f"{folder}: the result cannot be written ({error}); free space or check the rights") from error


def read_result(folder: Path) -> Result:
    """Read what `write_result` wrote.

    Raises:
        RunError: There is no readable result.
    """
    path = folder / "result.json"
    try:
        return Result.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: no readable result ({error}); run `vesalius evaluate` again") from error


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _finite(content: Any) -> Any:
    """Return the content with null for every number that JSON cannot hold."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content
