"""From decoded records and samples to the store's tables: patients, labels, duplicates and splits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.data.frames import left_out
from vesalius.data.labels import LabelSpec
from vesalius.data.manifest import COLUMNS, hashed_id, label_column
from vesalius.data.shown_classes import keep_shown_classes
from vesalius.data.splits import check_no_overlap, split_by_image, split_by_patient
from vesalius.errors import ConfigError, SplitError, nearest
from vesalius.records.sample import Sample

__all__ = ["SPLIT_MODES", "Tables", "assemble", "check_split_mode", "partly_split", "pseudonyms", "resolve_split"]

SPLIT_MODES = ("auto", "patient", "given", "given+val", "image")
"""`given`: the set's own. `given+val`: the same, with val cut out of train by patient where the set has none.
`patient`: drawn by patient, the set's own ignored. `image`: drawn by image, leaks patients, warns.
`auto`: `given` where the set says one for every image, else `patient`."""

_STRATIFY = ("binary", "multilabel", "multiclass", "ordinal")
_VAL_OF_TRAIN = 1 / 9
_OVERRIDE = (
    "Scores on such a split are too good. Draw a new one with split='patient' (--split patient), or, if the set "
    "numbers its patients anew in each part, tell its adapter so"
)
_REFUSED = ("file", "frame", "reason", "advice")
_DUPLICATES = (
    "file",
    "frame",
    "duplicate_of",
    "duplicate_of_frame",
    "patient_differs",
    "labels_differ",
    "split_differs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables of a store, what its labels mean, its counts, and what must be said about them."""

    manifest: pd.DataFrame
    refused: pd.DataFrame
    duplicates: pd.DataFrame
    labels: dict[str, LabelSpec]
    counts: dict[str, Any]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def check_split_mode(split: str) -> None:
    """Refuse an unknown way of splitting.

    Raises:
        ConfigError: Naming the nearest.
    """
    if split not in SPLIT_MODES:
        raise ConfigError(f"split {split!r} is not one of {', '.join(SPLIT_MODES)}{nearest(split, SPLIT_MODES)}")


def pseudonyms(sample: Sample, record: Mapping[str, Any], *, dataset: str, salt: bytes) -> dict[str, Any]:
    """Return `image_id`, `patient`, `patient_known`, `study` and `volume` of a record, hashed.

    The patient is the sample's, else the one in the file's header, else nobody knows it, and the images of a study, or
    else the slices of a series, or of a file, stay together. The data set's name is part of it: two sets may both have
    a patient 1.
    A volume is a stack of a file, or of a series of files with one slice each; what tells no place in one has none.
    """
    patient = sample.patient or record.get("header_patient") or None
    study = sample.study or record.get("header_study") or None
    stack = record.get("header_stack", "")
    of_series = record.get("frames", 1) == 1 and stack
    volume = hashed_id(salt, "volume", dataset, "" if of_series else sample.source, stack)
    if patient is not None:
        whose = ("patient", str(patient))
    elif study:
        whose = ("patient of a study", str(study))
    else:
        whose = ("patient of a series", str(stack)) if of_series else ("file", sample.source)
    return {
        "image_id": hashed_id(salt, "image", dataset, sample.source, str(record["frame"])),
        "patient": hashed_id(salt, whose[0], dataset, whose[1]),
        "patient_known": patient is not None,
        "study": hashed_id(salt, "study", dataset, str(study)) if study else None,
        "volume": None if record.get("slice_mm") is None else volume,
    }


def resolve_split(samples: Sequence[Sample], split: str) -> str:
    """Decide `auto`, and check the set's own split before anything is decoded.

    Raises:
        SplitError: Where the set's own split is asked for and is missing, or has a patient on two sides.
    """
    given = [sample for sample in samples if sample.split is not None]
    if split == "auto":
        split = "given" if samples and len(given) == len(samples) else "patient"
    if split in ("given", "given+val"):
        if len(given) < len(samples):
            raise SplitError(
                f"split={split!r}, but the set gives none for {len(samples) - len(given)} of {len(samples)} images; "
                "use split='patient'"
            )
        known = [sample for sample in samples if sample.patient is not None]
        check_no_overlap([str(s.patient) for s in known], [str(s.split) for s in known], advice=_OVERRIDE)
    return split


def partly_split(samples: Sequence[Sample], split: str) -> str | None:
    """Return what is to be said where `auto` draws sides anew though the set gives some, or None."""
    without = [sample for sample in samples if sample.split is None]
    if split != "auto" or not without or len(without) == len(samples):
        return None
    some = f"{len(samples) - len(without)} of {len(samples)} images (not for {without[0].source})"
    return (
        f"the set gives a side for {some}, so all sides are drawn anew; complete it, or take these images out, to keep "
        "the set's own"
    )


def assemble(
    samples: Sequence[Sample],
    chunks: Sequence[Mapping[str, Any]],
    *,
    labels: Mapping[str, LabelSpec],
    split: str,
    seed: int,
) -> Tables:
    """Build the tables of a store.

    Args:
        samples: All samples, in the order of decoding.
        chunks: The journal: `{"kept": [...], "duplicates": [...], "refused": [...]}` records with pseudonyms.
        labels: What the labels mean; classes that no image of the store has are left out, see `keep_shown_classes`.
        split: A resolved split mode.
        seed: Of the drawn splits.

    Raises:
        SplitError: Where a split cannot be drawn, or the given one has a patient on two sides.
    """
    kept = [record for chunk in chunks for record in chunk["kept"]]
    table = pd.DataFrame({name: [record.get(name) for record in kept] for name in COLUMNS if name != "split"})
    whose = [samples[record["sample"]] for record in kept]
    for name in labels:
        table[label_column(name)] = pd.Series([sample.labels.get(name) for sample in whose], dtype=object)
    stratify = [label_column(name) for name, spec in labels.items() if spec.kind in _STRATIFY]
    said: list[str] = []
    table["split"] = _draw(
        table, [sample.split for sample in whose], table[stratify], split=split, seed=seed, said=said
    )
    table, shown, notes = keep_shown_classes(table, labels)  # after the draw, which an empty class does not change
    duplicates = _duplicates(samples, kept, [record for chunk in chunks for record in chunk["duplicates"]], said)
    not_read = [record for chunk in chunks for record in chunk["refused"]]
    refused = pd.DataFrame(not_read, columns=[*_REFUSED])
    every = [*kept, *(record for chunk in chunks for record in chunk["duplicates"])]
    said.extend(left_out(every, not_read))
    unknown = int((~table["patient_known"].astype(bool)).sum())
    if unknown:
        said.append(
            f"{unknown} of {len(table)} images have no known patient; each study, series or file counts as a patient, "
            "so images of one person may be on both sides of the split"
        )
    counts = {
        "images": len(table),
        "patients": int(table["patient"].nunique()),
        "patients_unknown": unknown,
        "refused": len(refused),
        "duplicates": len(duplicates),
        "splits": {name: int((table["split"] == name).sum()) for name in ("train", "val", "test")},
    }
    return Tables(
        manifest=table,
        refused=refused,
        duplicates=duplicates,
        labels=shown,
        counts=counts,
        warnings=tuple(said),
        notes=notes,
    )


def _draw(
    table: pd.DataFrame, given: list[str | None], labels: pd.DataFrame, *, split: str, seed: int, said: list[str]
) -> npt.NDArray[Any]:
    patients = table["patient"].to_numpy(dtype=str)
    if split in ("given", "given+val"):
        check_no_overlap(patients, [str(side) for side in given], advice=_OVERRIDE)
        sides = np.asarray(given, dtype=object)
        train = sides == "train"
        if split == "given+val" and "val" not in given and train.any():
            fractions = (1 - _VAL_OF_TRAIN, _VAL_OF_TRAIN, 0.0)
            sides[train] = split_by_patient(patients[train], labels[train], fractions=fractions, seed=seed)
        return sides
    if split == "image":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once, by `prepare`, before the work begins
            return split_by_image(table["image_id"].to_numpy(dtype=str), labels, seed=seed)
    if len(set(patients)) < 3:
        said.append(f"{len(set(patients))} patients cannot be divided among three splits: all images are in train")
        return np.full(len(table), "train")
    return split_by_patient(patients, labels, seed=seed)


def _duplicates(
    samples: Sequence[Sample], kept: list[dict[str, Any]], duplicates: list[dict[str, Any]], said: list[str]
) -> pd.DataFrame:
    first = {record["pixel_sha256"]: record for record in kept}
    rows = []
    for record in duplicates:
        original = first[record["pixel_sha256"]]
        here, there = samples[record["sample"]], samples[original["sample"]]
        both_known = record["patient_known"] and original["patient_known"]
        rows.append(
            {
                "file": record["source"],
                "frame": record["frame"],
                "duplicate_of": original["source"],
                "duplicate_of_frame": original["frame"],
                "patient_differs": both_known and record["patient"] != original["patient"],
                "labels_differ": dict(here.labels) != dict(there.labels),
                "split_differs": here.split != there.split,
            }
        )
    table = pd.DataFrame(rows, columns=[*_DUPLICATES])
    for column, text in (
        ("labels_differ", "have other labels than the copy that was kept"),
        ("patient_differs", "belong to another patient than the copy that was kept"),
        ("split_differs", "are in another part of the published split than the copy that was kept"),
    ):
        differing = table[table[column].astype(bool)]
        if len(differing):
            said.append(
                f"{len(differing)} duplicates {text}, for example {differing['file'].iloc[0]}; see duplicates.csv"
            )
    return table
