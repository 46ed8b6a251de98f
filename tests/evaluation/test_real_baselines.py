"""Raw pixels on real radiographs reach the figures that every pretraining here has to be held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vesalius.evaluation.protocol import fold_sides, split_sides
from vesalius.evaluation.raw_pixels import shrink
from vesalius.evaluation.scoring import evaluate_frozen

pytestmark = pytest.mark.real


def _pixels(paths: list[Path]) -> np.ndarray:
    # `draft` lets the JPEG decoder skip detail that 32 x 32 pixels cannot show.
    images = []
    for path in paths:
        with Image.open(path) as image:
            image.draft("L", (64, 64))
            images.append(shrink(np.asarray(image.convert("L"))[None], side=32)[0])
    return np.stack(images).reshape(len(images), -1)


def _auc(result) -> float:
    return next(score.value for score in result.scores if score.arm == "pixels" and score.metric == "roc_auc")


FAST = {"fractions": (1.0,), "seeds": 1, "bootstrap": 100, "ks": ()}


@pytest.mark.parametrize(("label", "expected"), [("sex", 0.81), ("any finding", 0.85)])
def test_linear_probe_of_pixels_on_nih(real_data: Path, label: str, expected: float) -> None:
    table = pd.read_csv(real_data / "nih1000" / "labels.csv")
    where = {path.name: path for path in (real_data / "nih1000" / "images").rglob("*.jpg")}
    pixels = _pixels([where[name] for name in table["image"]])
    truth = table["sex"] == "F" if label == "sex" else table["nih_finding_labels"] != "No Finding"
    patients, labels = table["patient_id"].to_numpy(), truth.to_numpy(dtype=int)
    sides = fold_sides(labels, patients, folds=5)
    result = evaluate_frozen({"pixels": [pixels]}, labels, patients, sides=sides, task="linear", kind="binary", **FAST)
    assert _auc(result) == pytest.approx(expected, abs=0.02)


def test_knn_of_pixels_on_pneumonia(real_data: Path) -> None:
    found = [
        (path, split, label)
        for split in ("train", "test")
        for label, name in enumerate(("NORMAL", "PNEUMONIA"))
        for path in sorted((real_data / "chest_xray" / split / name).iterdir())
    ]
    labels = np.array([label for _, _, label in found])
    patients = np.array([path.name.split("_")[0] if label else path.stem.rsplit("-", 1)[0] for path, _, label in found])
    sides = split_sides(np.array([split for _, split, _ in found]), patients)
    pixels = _pixels([path for path, _, _ in found])
    result = evaluate_frozen({"pixels": [pixels]}, labels, patients, sides=sides, task="knn", kind="binary", **FAST)
    assert _auc(result) == pytest.approx(0.991, abs=0.006)
