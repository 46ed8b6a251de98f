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
import numpy.typing as npt
import pandas as pd
from PIL import Image

from vesalius.atomic import replace_text
from vesalius.data.masks import VOID
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
        training: Images to train on.
        testing: Images of the store's test side.
        without_masks: Images left out.
    """

    raw: Path
    preprocessed: Path
    training: int
    testing: int
    without_masks: int


def write_nnunet(
    store: Store,
    out: Path,
    *,
    name: str,
    number: int = 1,
    folds: int = 5,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> NnunetFolders:
    """Write the images that have masks as PNG, and their label maps with consecutive values.

    The store's `train` and `val` sides become `imagesTr` and `labelsTr`, its `test` side `imagesTs` and `labelsTs`; the
    folds divide the former by patient. Pixels of which nothing is known become nnU-Net's `ignore` label. Pixels are the
    store's own; their spacing is not told, since nnU-Net reads none from PNG. A case is named by its row, and
    `cases.csv` says which image and patient (pseudonyms) that is.

    Args:
        store: Images with masks.
        out: Where the two folders go; other data sets may be there.
        name: Of the data set: letters, digits and `_`.
        number: Of the data set, 1 to 999.
        folds: How many.
        seed: Of the folds.
        advance: Told the images that are written.

    Raises:
        ConfigError: A name or a number that nnU-Net would not read, or a data set of this number is there.
        StoreError: No masks, none on the sides that are trained on, or colour of 16 bits.
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
    if store.channels == 3 and store.dtype != np.uint8:
        raise StoreError(f"{store.path}: PNG holds no colour of {store.dtype}; prepare it with --bits 8")
    table = store.manifest.reset_index(drop=True)
    masked = table["has_masks"].to_numpy(dtype=bool)
    testing = masked & (table["split"] == "test").to_numpy()
    training = masked & ~testing
    if not training.any():
        raise StoreError(f"{store.path}: no image of its train and val sides has a mask; there is nothing to train on")
    splits = _splits(table, np.flatnonzero(training), folds=folds, seed=seed)
    folder = f"Dataset{number:03d}_{name}"
    partial = raw / f".{folder}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for rows, side in ((np.flatnonzero(training), "Tr"), (np.flatnonzero(testing), "Ts")):
            _write_side(store, rows, partial, side, advance)
        _describe(store, partial, int(training.sum()))
        cases = table.loc[masked, ["image_id", "patient", "split"]]
        cases.insert(0, "case", [_case(row) for row in cases.index.tolist()])
        cases.to_csv(partial / "cases.csv", index=False)
        replace_text(preprocessed / folder / "splits_final.json", json.dumps(splits, indent=1) + "\n")
        partial.rename(raw / folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return NnunetFolders(
        raw=raw / folder,
        preprocessed=preprocessed / folder,
        training=int(training.sum()),
        testing=int(testing.sum()),
        without_masks=int((~masked).sum()),
    )


def _case(row: int) -> str:
    return f"case_{row:06d}"


def _splits(table: pd.DataFrame, rows: npt.NDArray[np.int64], *, folds: int, seed: int) -> list[dict[str, list[str]]]:
    fold = folds_by_patient(table["patient"].iloc[rows].to_numpy(dtype=str), folds=folds, seed=seed)
    return [
        {
            "train": [_case(row) for row in rows[fold != one].tolist()],
            "val": [_case(row) for row in rows[fold == one].tolist()],
        }
        for one in range(folds)
    ]


def _write_side(
    store: Store, rows: npt.NDArray[np.int64], folder: Path, side: str, advance: Callable[[int], None]
) -> None:
    parts = _parts(store)
    void = parts.index(VOID) if VOID in parts else None
    last = len(parts) - 1
    for kind in ("images", "labels") if len(rows) else ():
        (folder / f"{kind}{side}").mkdir(parents=True)
    for row in rows.tolist():
        pixels, mask = np.asarray(store.images[row]), np.array(store.masks[row])
        if void is not None:  # nnU-Net wants it last: those after it move down
            mask = np.where(mask == void, last, np.where(mask > void, mask - 1, mask)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images{side}" / f"{_case(row)}_0000.png")
        Image.fromarray(mask).save(folder / f"labels{side}" / f"{_case(row)}.png")
        advance(1)


def _describe(store: Store, folder: Path, training: int) -> None:
    names = [name for name in _parts(store) if name != VOID]
    names += ["ignore"] if VOID in _parts(store) else []
    channels: Sequence[str] = "RGB" if store.channels == 3 else ("image",)
    content: dict[str, Any] = {
        "channel_names": {str(place): channel for place, channel in enumerate(channels)},
        "labels": {name: value for value, name in enumerate(names)},
        "numTraining": training,
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }
    replace_text(folder / "dataset.json", json.dumps(content, indent=2) + "\n")


def _parts(store: Store) -> list[str]:
    return list(store.info["arrays"]["masks"]["parts"])
