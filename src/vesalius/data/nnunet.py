"""A store with masks as the folders that nnU-Net (version 2) trains from, its folds by patient.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", Nature
Methods 2021; the layout is that of its documentation, "Dataset conversion" and "Manual data splits".
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vesalius.atomic import replace_text
from vesalius.data.nnunet_cases import Case, Cases, cases_of, label_names, write_case
from vesalius.data.splits import folds_by_patient
from vesalius.data.store import Store
from vesalius.errors import ConfigError, StoreError

__all__ = ["NnunetFolders", "write_nnunet"]

_MOST = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class NnunetFolders:
    """What was written.

    Attributes:
        raw: `<out>/nnUNet_raw/DatasetNNN_<name>`: images, label maps, `dataset.json`, `cases.csv`.
        preprocessed: `<out>/nnUNet_preprocessed/DatasetNNN_<name>`, with `splits_final.json` for nnU-Net to find.
        training: Cases to train on.
        testing: Cases of the store's test side.
        without_masks: Images left out.
        form: What a case is: of `volumes` or of `images`.
        why: What speaks against volumes, where they were not asked against.
    """

    raw: Path
    preprocessed: Path
    training: int
    testing: int
    without_masks: int
    form: str
    why: str


def write_nnunet(
    store: Store,
    out: Path,
    *,
    name: str,
    number: int = 1,
    form: str = "auto",
    folds: int = 5,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> NnunetFolders:
    """Write the images that have masks, and their label maps with consecutive values.

    The store's `train` and `val` sides become `imagesTr` and `labelsTr`, its `test` side `imagesTs` and `labelsTs`; the
    folds divide the former by patient. Pixels of which nothing is known become nnU-Net's `ignore` label. Pixels are the
    store's own. Slices of whole volumes of known spacing are put together to NIfTI files, with the spacing of the
    store's pixels; any others are PNG, whose spacing is not told, since nnU-Net reads none from it. A case is named by
    its (first) row, and `cases.csv` says which images and patient (pseudonyms) that is.

    Args:
        store: Images with masks.
        out: Where the two folders go; other data sets may be there.
        name: Of the data set: letters, digits and `_`.
        number: Of the data set, 1 to 999.
        form: Of cases, see `vesalius.data.nnunet_cases.FORMS`.
        folds: How many.
        seed: Of the folds.
        advance: Told the images that are written.

    Raises:
        ConfigError: A name or a number that nnU-Net would not read, a data set of this number is there, or an unknown
            form.
        StoreError: No masks, none on the sides that are trained on, volumes are asked for where there are none, or
            colour of 16 bits as PNG.
        SplitError: Fewer patients than folds.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]+", name) or not 1 <= number <= _MOST:
        raise ConfigError(
            f"Dataset{number}_{name}: nnU-Net wants a number of 1 to {_MOST} and a name of letters, digits and _; give "
            "--number and --name"
        )
    raw, preprocessed = out / "nnUNet_raw", out / "nnUNet_preprocessed"
    there = [path for folder in (raw, preprocessed) for path in folder.glob(f"Dataset{number:03d}_*")]
    if there:
        raise ConfigError(f"{there[0]}: data set {number} is there already; give another --number, or remove it")
    store.masks  # noqa: B018 (refuses a store without masks)
    table = store.manifest.reset_index(drop=True)
    masked = table["has_masks"].to_numpy(dtype=bool)
    testing = masked & (table["split"] == "test").to_numpy()
    training = masked & ~testing
    if not training.any():
        raise StoreError(f"{store.path}: no image of its train and val sides has a mask; there is nothing to train on")
    cases = cases_of(store, np.flatnonzero(training), np.flatnonzero(testing), form=form)
    splits = _splits(table, cases.training, folds=folds, seed=seed)
    folder = f"Dataset{number:03d}_{name}"
    partial = raw / f".{folder}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for of_side, side in ((cases.training, "Tr"), (cases.testing, "Ts")):
            _write_side(store, of_side, partial, side, advance)
        _describe(store, partial, cases)
        _table(table, cases).to_csv(partial / "cases.csv", index=False)
        replace_text(preprocessed / folder / "splits_final.json", json.dumps(splits, indent=1) + "\n")
        partial.rename(raw / folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return NnunetFolders(
        raw=raw / folder,
        preprocessed=preprocessed / folder,
        training=len(cases.training),
        testing=len(cases.testing),
        without_masks=int((~masked).sum()),
        form=cases.form,
        why=cases.why,
    )


def _splits(table: pd.DataFrame, cases: Sequence[Case], *, folds: int, seed: int) -> list[dict[str, list[str]]]:
    patients = table["patient"].iloc[[one.rows[0] for one in cases]].to_numpy(dtype=str)
    names = np.array([one.name for one in cases])
    fold = folds_by_patient(patients, folds=folds, seed=seed)
    return [{"train": names[fold != one].tolist(), "val": names[fold == one].tolist()} for one in range(folds)]


def _table(table: pd.DataFrame, cases: Cases) -> pd.DataFrame:
    """Lay out a row an image: its case, and which slice of it that is."""
    of_rows = [
        {"row": row, "case": one.name, "slice": number}
        for one in sorted((*cases.training, *cases.testing), key=lambda one: one.name)
        for number, row in enumerate(one.rows.tolist())
    ]
    found = pd.DataFrame(of_rows).set_index("row")
    return found.join(table[["image_id", "patient", "split"]])


def _write_side(store: Store, cases: Sequence[Case], folder: Path, side: str, advance: Callable[[int], None]) -> None:
    for kind in ("images", "labels") if cases else ():
        (folder / f"{kind}{side}").mkdir(parents=True)
    for case in cases:
        write_case(store, case, folder, side)
        advance(len(case.rows))


def _describe(store: Store, folder: Path, cases: Cases) -> None:
    channels: Sequence[str] = "RGB" if store.channels == 3 else ("image",)
    read_as = {"file_ending": ".png", "overwrite_image_reader_writer": "NaturalImage2DIO"}
    content: dict[str, Any] = {
        "channel_names": {str(place): channel for place, channel in enumerate(channels)},
        "labels": {name: value for value, name in enumerate(label_names(store))},
        "numTraining": len(cases.training),
        **(read_as if cases.form == "images" else {"file_ending": ".nii.gz"}),
    }
    replace_text(folder / "dataset.json", json.dumps(content, indent=2) + "\n")
