"""Classes that no image of a store has: left out of its labels, values with them, where no distances are meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vesalius.data.labels import LabelSpec
from vesalius.data.prepare import prepare
from vesalius.data.shown_classes import keep_shown_classes
from vesalius.data.store import open_store
from vesalius.evaluation.classifier import Setup
from vesalius.evaluation.finetune import Finetuning
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.gather import gather
from vesalius.evaluation.probes import ProbeOptions

SETUP = Setup(torch.device("cpu"), False, 24)
COLUMNS = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
CLASSES = (
    "melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis", "benign_keratosis", "dermatofibroma",
    "vascular_lesion", "squamous_cell_carcinoma",
)  # fmt: skip


def table_of(**labels: list[object]) -> pd.DataFrame:
    return pd.DataFrame({f"label_{name}": pd.Series(values, dtype=object) for name, values in labels.items()})


def test_a_class_in_the_middle_goes_and_the_values_follow() -> None:
    spec = LabelSpec(kind="multiclass", classes=("a", "b", "c", "d"), description="of four")
    table, specs, notes = keep_shown_classes(table_of(one=[3, None, 0, 2, 3]), {"one": spec})
    assert specs["one"] == LabelSpec(kind="multiclass", classes=("a", "c", "d"), description="of four")
    assert [None if pd.isna(value) else value for value in table["label_one"]] == [2, None, 0, 1, 2]
    assert notes == ("label one: no image is b, so its classes are the 3 others",)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (LabelSpec(kind="ordinal", classes=("0", "1", "2")), [0, 2, 2]),  # distances matter
        (LabelSpec(kind="binary"), [1, 1, 1]),
        (LabelSpec(kind="multiclass", classes=("a", "b", "c")), [1, 1, None]),  # fewer than two are left
        (LabelSpec(kind="multiclass", classes=("a", "b", "c")), [None, None, None]),
        (LabelSpec(kind="multiclass", classes=("a", "b", "c")), [0, 1, 2]),
        (LabelSpec(kind="multiclass", classes=("a", "b", "c")), [0, 1, 3]),  # the manifest refuses it
        (LabelSpec(kind="number"), [0.5, 1.5, None]),
    ],
)
def test_other_labels_stay_as_they_are(spec: LabelSpec, values: list[object]) -> None:
    given = table_of(one=values)
    table, specs, notes = keep_shown_classes(given, {"one": spec})
    assert (specs, notes) == ({"one": spec}, ())
    pd.testing.assert_frame_equal(table, given)


def write_isic(folder: Path) -> dict[str, int]:
    """ISIC 2019: its table has a column for unknown lesions, which no image is; return image to class."""
    generator = np.random.default_rng(0)
    images = folder / "ISIC_2019_Training_Input"
    images.mkdir(parents=True)
    truth = {f"ISIC_{number:07d}": number % 8 for number in range(96)}
    lines = ["image," + ",".join(COLUMNS)]
    for name, place in truth.items():
        Image.fromarray(generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(images / f"{name}.jpg")
        lines.append(f"{name}," + ",".join("1.0" if one == place else "0.0" for one in range(len(COLUMNS))))
    (folder / "ISIC_2019_Training_GroundTruth.csv").write_text("\n".join(lines) + "\n")
    return truth


def test_isic_2019_has_the_eight_classes_of_its_images_and_can_be_fine_tuned(tmp_path: Path) -> None:
    truth = write_isic(tmp_path / "isic")
    summary = prepare(tmp_path / "isic", tmp_path / "store", size=24, workers=1, progress=False)
    assert "label diagnosis: no image is other, so its classes are the 8 others" in summary.notes
    store = open_store(tmp_path / "store")
    assert tuple(store.labels["diagnosis"]["classes"]) == CLASSES
    stored = dict(zip(store.manifest["source"], store.manifest["label_diagnosis"], strict=True))
    assert {Path(source).stem: int(value) for source, value in stored.items()} == truth
    job = gather(store, None, "diagnosis", protocol="folds", folds=2)
    probe = ProbeOptions(
        task="finetune", label="diagnosis", kind="multiclass", classes=job.targets.classes, fractions=(1.0,), seeds=1
    )
    assert Finetuning(job, probe, FinetuneOptions(), SETUP, Path("unused")).steps(("pretrained",)) > 0
    again = prepare(tmp_path / "isic", tmp_path / "store", size=24, workers=1, progress=False)
    assert (again.already_complete, again.notes) == (True, summary.notes)


def test_images_that_cannot_be_read_take_their_class_along(tmp_path: Path) -> None:
    truth = write_isic(tmp_path / "isic")
    for name, place in truth.items():
        if place == 2:
            (tmp_path / "isic/ISIC_2019_Training_Input" / f"{name}.jpg").write_bytes(b"")
    prepare(tmp_path / "isic", tmp_path / "store", size=24, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    classes = store.labels["diagnosis"]["classes"]
    assert classes == [name for name in CLASSES if name != "basal_cell_carcinoma"]
    for source, value in zip(store.manifest["source"], store.manifest["label_diagnosis"], strict=True):
        assert classes[value] == CLASSES[truth[Path(source).stem]]
