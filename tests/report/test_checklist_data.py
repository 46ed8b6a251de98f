"""What checklists say of data and labels, where stores are not as they should be."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vesalius.data.store import Store
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.records.result import Result, Score
from vesalius.report.checklist_data import class_balance, disjoint, label_definitions, missing_labels, partitions
from vesalius.report.data_sheet import data_sheets
from vesalius.report.run_folder import Run, read_run
from vesalius.report.stores import Stores
from vesalius.report.told import Told, scored_stores

ScoreStore = Callable[..., Run]


def _altered(store: Store, *, fingerprint: str = "", path: Path | None = None, **columns: Any) -> Store:
    """The store with another fingerprint or other columns, as if it had been prepared so."""
    found = Store(path or store.path, {**store.info, "fingerprint": fingerprint or store.fingerprint})
    found.__dict__["manifest"] = store.manifest.assign(**columns)
    return found


def _described(store: Store, words: Mapping[str, str]) -> Store:
    labels = {name: about | {"description": words.get(name, "")} for name, about in store.labels.items()}
    found = Store(store.path, {**store.info, "labels": labels})
    found.__dict__["manifest"] = store.manifest
    return found


def _told(run: Run, *stores: Store) -> Told:
    found = Stores(stores)
    return Told(runs=[run], stores=found, sheets=data_sheets([run], found), rows=(), cases=())


@pytest.fixture
def score(build_run: Callable[..., Path], tmp_path: Path) -> ScoreStore:
    """A run that scored one label of every store that is given."""

    def made(*stores: Store, label: str = "effusion", **changes: Any) -> Run:
        folder = build_run(tmp_path / "vit", figures={})
        ours = Score(arm="pretrained", metric="roc_auc", value=0.8, low=0.7, high=0.9)
        values: dict[str, Any] = {
            "task": "knn", "label": label, "kind": "binary", "scores": (ours,), "train_images": 48, "test_images": 12,
            "train_patients": 40, "test_patients": 10, "protocol": "split",
        }  # fmt: skip
        for store in stores:
            place = result_folder(folder, task="knn", label=label, fingerprint=store.fingerprint)
            write_result(place, Result(**values | changes))
        return read_run(folder)

    return made


def test_soft_values_count_as_left_out(store: Store, score: ScoreStore) -> None:
    values = store.manifest["label_effusion"].astype("float64").to_numpy().copy()
    values[:3], values[3] = 0.55, np.nan
    soft = _altered(store, label_effusion=pd.array(values, dtype="Float64"))
    run = score(soft)
    said = missing_labels(_told(run, soft))
    assert said == (
        "effusion is not known for 1 image of phantom_store.",
        "effusion is between two classes for 3 images of phantom_store.",
        "Images are left out of the scores of a label where it is not known, or between two classes.",
    )
    whole = _altered(store, label_effusion=pd.array(np.nan_to_num(np.round(values)), dtype="Float64"))
    assert missing_labels(_told(run, whole)) == ("No scored label is missing.",)


def test_blanks_beside_commas_drop_no_label(store: Store, score: ScoreStore) -> None:
    told = _told(score(store, label="effusion, opacity"), store)
    assert scored_stores(told)[0].labels == ("effusion", "opacity")
    assert any(words.startswith("opacity (phantom_store): ") for words in class_balance(told))


def test_only_a_description_that_describes_fills_the_reference_standard(store: Store, score: ScoreStore) -> None:
    run = score(store, label="effusion,opacity")
    for nothing in ("", "  ", "column effusion", "column effusion of labels.csv", "name of the sub-folder"):
        described = _described(store, {"effusion": nothing})
        warned = replace(described, info={**described.info, "warnings": ["labels of reports by a program"]})
        warned.__dict__["manifest"] = store.manifest
        assert label_definitions(_told(run, warned)) == (), nothing
    told = _told(run, _described(store, {"effusion": "fluid, read by two radiologists", "opacity": ""}))
    assert label_definitions(told)[0] == "effusion (phantom_store): fluid, read by two radiologists."
    assert not any("opacity" in words for words in label_definitions(told))


def test_how_the_data_were_dealt_follows_the_manifest(store: Store, score: ScoreStore) -> None:
    run = score(store, settings={"sides": "5 folds by patient"}, protocol="folds")
    told = _told(run, store)
    assert "phantom_store: split by patient; train 4" in partitions(told)[0]
    assert " patients" in partitions(told)[0]
    assert partitions(told)[1] == "Scored on effusion: 5 folds by patient."

    nobody = _told(run, _altered(store, patient_known=False))
    assert "split by file, since no patient is known; train 4" in partitions(nobody)[0]
    assert "patients" not in partitions(nobody)[0]
    assert "each file of an unknown patient counts as a patient of its own" in partitions(nobody)[1]
    assert disjoint(nobody)[0].startswith("phantom_store: Not checked: no patient is known")

    some = np.arange(len(store)) < len(store) - 10
    assert "10 images the patient is not known" in partitions(_told(run, _altered(store, patient_known=some)))[0]

    split = store.manifest["split"].to_numpy().copy()
    patient = store.manifest["patient"].to_numpy().copy()
    patient[split == "test"] = patient[split == "train"][0]
    mixed = _told(run, _altered(store, patient=patient))
    assert "1 patient in more than one split" in partitions(mixed)[0]
    assert "split by patient" not in partitions(mixed)[0]
    assert "1 patient in more than one split" in disjoint(mixed)[0]


def test_stores_in_folders_of_one_name_are_told_apart(store: Store, score: ScoreStore, tmp_path: Path) -> None:
    path = shutil.copytree(store.path, tmp_path / "other" / store.path.name)
    other = _altered(store, fingerprint="f" * 64, path=path)
    told = _told(score(store, other), store, other)
    titles = {f"phantom_store ({one.fingerprint[:8]})" for one in (store, other)}
    assert {each.title for each in scored_stores(told)} == titles
    assert {sheet.name for sheet in told.sheets} == titles
    assert len(class_balance(told)) == 2
