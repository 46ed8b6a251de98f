"""The data sheet of a store in counts: never a patient's id, never the name of an image's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from vesalius.data.store import Store
from vesalius.report.redaction import without_names
from vesalius.report.run_folder import Run
from vesalius.report.stores import Stores
from vesalius.report.wording import count, joined, plain_name, share

__all__ = ["DataSheet", "data_sheets"]

_SPLITS = ("train", "val", "test")
_MOST_REASONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """One store in words and counts.

    Attributes:
        name: The store's folder name, see `Stores.title`.
        fingerprint: Its first 8 digits.
        roles: What it was used for, in words.
        facts: Name and text.
        dealt: How images came to be in a split, in words.
        splits: Split, images, patients; where a patient is not known each study, series or file counts as one.
        unknown: Images whose patient is not known.
        labels: Label, kind, class, then counts by split.
        refused: Reason and count, most frequent first.
        overlap: The outcome of the check that no patient is in two splits.
        overlap_ok: Whether it held.
        missing: Why there is no more than this, or empty.
        warnings: What preparing the store found that must be known before a score is trusted.
    """

    name: str
    fingerprint: str
    roles: str
    facts: tuple[tuple[str, str], ...] = ()
    dealt: str = ""
    splits: tuple[tuple[str, int, int], ...] = ()
    unknown: int = 0
    labels: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    refused: tuple[tuple[str, int], ...] = ()
    overlap: str = ""
    overlap_ok: bool = True
    missing: str = ""
    warnings: tuple[str, ...] = ()


def data_sheets(runs: Sequence[Run], stores: Stores) -> tuple[DataSheet, ...]:
    """Describe each store that was trained or scored on, the training ones first."""
    used: dict[str, list[str]] = {}
    known: dict[str, Store] = {}
    lost: list[DataSheet] = []
    for run in runs:
        data = run.about.get("data") or {}
        found = stores.trained_on(data)
        for store, split in found:
            known[store.fingerprint[:8]] = store
            used.setdefault(store.fingerprint[:8], []).append(f"pretraining of {run.name} ({split})")
        if data and not found:
            name = " + ".join(Path(each).name for each in str(data.get("store", "unnamed store")).split(" + "))
            fingerprint = str(data.get("fingerprint", ""))[:8]
            lost.append(_lost(name, fingerprint, f"pretraining of {run.name}", _told(data)))
    for run in runs:
        for evaluation in run.evaluations:
            if not evaluation.result.of_store:
                continue
            uses = used.setdefault(evaluation.fingerprint, [])
            words = f"scoring of {plain_name(evaluation.result.label)}"
            if words not in uses:
                uses.append(words)
    sheets = list(lost)
    for key, uses in used.items():
        opened = known.get(key) or stores.of(key)
        sheets.append(
            _sheet(opened, stores.title(opened), joined(uses))
            if opened
            else _lost("unnamed store", key, joined(uses), ())
        )
    return tuple(sheets)


def _lost(name: str, fingerprint: str, roles: str, facts: tuple[tuple[str, str], ...]) -> DataSheet:
    return DataSheet(
        name=name,
        fingerprint=fingerprint,
        roles=roles,
        facts=facts,
        missing="The store was not found, or has changed since; its refusals, sizes and splits cannot be shown. "
        "Name its folder: `vesalius report ... --data STORE`.",
    )


def _told(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = [("Images trained on", f"{int(data['images']):,}")] if data.get("images") is not None else []
    if data.get("patients") is not None:
        facts.append(("Patients trained on", f"{int(data['patients']):,}"))
    if data.get("split"):
        split = data["split"]
        facts.append(("Splits trained on", split if isinstance(split, str) else ", ".join(map(str, split))))
    return tuple(facts)


def _sheet(store: Store, name: str, roles: str) -> DataSheet:
    table = store.manifest
    overlap, held = _overlap(table)
    return DataSheet(
        name=name,
        fingerprint=store.fingerprint[:8],
        roles=roles,
        facts=_facts(store, table),
        dealt=_dealt(store, table),
        unknown=_unknown(table),
        splits=tuple(
            (split, int((table["split"] == split).sum()), int(table.loc[table["split"] == split, "patient"].nunique()))
            for split in _SPLITS
        ),
        labels=_labels(store, table),
        refused=_refused(store.refused),
        overlap=overlap,
        overlap_ok=held,
        warnings=tuple(dict.fromkeys(without_names(str(each)) for each in store.info.get("warnings") or ())),
    )


def _facts(store: Store, table: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    unknown = _unknown(table)
    patients = f"{table['patient'].nunique():,}"
    if unknown:
        patients += f" (for {count(unknown, 'image')} the patient is not known; each counts as a patient of its own)"
    spacing = int(table["spacing_x_mm"].notna().sum())
    told = (("Licence", store.info.get("licence")), ("Please cite", store.info.get("citation")))
    return (
        ("Images", f"{len(table):,}"),
        ("Patients", patients),
        ("Stored as", f"{store.size} × {store.size} px, {8 * store.dtype.itemsize} bit, {store.channels} channel(s)"),
        ("Original width", _range(table["original_width"])),
        ("Original height", _range(table["original_height"])),
        ("Bits in the source", _counts(table["bits"])),
        ("Window taken from", _counts(table["window_source"])),
        ("Polarity inverted", count(int(table["inverted"].sum()), "image")),
        ("Pixel spacing known", f"{count(spacing, 'image')} ({share(spacing / max(len(table), 1))})"),
        ("Duplicates left out", f"{len(store.duplicates):,}"),
        ("Refused", f"{len(store.refused):,}"),
        *((name, str(text)) for name, text in told if text),
    )


def _range(values: pd.Series[Any]) -> str:
    low, middle, high = (int(v) for v in (values.min(), values.median(), values.max()))
    return f"{low:,} px" if low == high else f"{low:,} to {high:,} px (median {middle:,})"


def _counts(values: pd.Series[Any]) -> str:
    return ", ".join(f"{value}: {number:,}" for value, number in values.value_counts().items())


def _unknown(table: pd.DataFrame) -> int:
    return int((~table["patient_known"]).sum())


def _shared(table: pd.DataFrame) -> int:
    return int((table.groupby("patient")["split"].nunique() > 1).sum())


def _dealt(store: Store, table: pd.DataFrame) -> str:
    """Say whether patients are apart as the manifest has it, whatever was asked for when the store was prepared."""
    unknown, mode = _unknown(table), str(store.info.get("options", {}).get("split", ""))
    if shared := _shared(table):
        return f"split with {count(shared, 'patient')} in more than one split"
    if unknown == len(table):
        return "split by file, since no patient is known"
    given = ", as the data set gives it" if mode.startswith("given") else ""
    apart = f"; for {count(unknown, 'image')} the patient is not known, and each file went by itself" if unknown else ""
    return f"split by patient{given}{apart}"


def _overlap(table: pd.DataFrame) -> tuple[str, bool]:
    shared, unknown = _shared(table), _unknown(table)
    if unknown == len(table) and not shared:
        return "Not checked: no patient is known, so that one may be in more than one split.", False
    if shared:
        return (
            f"{count(shared, 'patient')} in more than one split: the scores of this store are not to be trusted.",
            False,
        )
    known = table.loc[table["patient_known"], "patient"].nunique()
    words = f"Checked: none of {known:,} patients is in more than one split."
    return (f"{words} Images of unknown patients cannot be checked." if unknown else words), True


def _labels(store: Store, table: pd.DataFrame) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    rows = []
    for name, spec in store.labels.items():
        values, kind = table[f"label_{name}"], str(spec["kind"])
        if kind in ("number", "text"):
            groups = [("known", values.notna())]
        else:
            classes = list(spec.get("classes") or ())
            groups = [(plain_name(str(each)), values == index) for index, each in enumerate(classes)]
        groups.append(("not known", values.isna()))
        for words, where in groups:
            hits = where.fillna(value=False).astype(bool)
            counts = tuple(int((hits & (table["split"] == split)).sum()) for split in _SPLITS)
            if words != "not known" or any(counts):
                rows.append((plain_name(name), words, counts))
    return tuple(rows)


def _refused(table: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """Count refusals by reason, with the file's own name taken out of a reason that repeats it."""
    if table.empty:
        return ()
    # A reason's details (after a colon or bracket) differ from file to file and may quote it.
    kinds = [str(reason).partition(":")[0].partition(" (")[0] for reason in table["reason"]]
    bare = [_bare(str(file), kind) for file, kind in zip(table["file"], kinds, strict=True)]
    reasons = pd.Series(bare, dtype="str").value_counts()
    shown = [(str(reason), int(number)) for reason, number in reasons.head(_MOST_REASONS).items()]
    rest = int(reasons.iloc[_MOST_REASONS:].sum())
    return (*shown, *([("other reasons", rest)] if rest else []))


def _bare(file: str, reason: str) -> str:
    path = PurePosixPath(file.replace("\\", "/"))
    for name in (file, str(path), path.name, path.stem if len(path.stem) > 3 else ""):
        reason = reason.replace(name, "the file") if name else reason
    return without_names(reason)
