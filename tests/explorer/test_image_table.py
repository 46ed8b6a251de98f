"""The table: kinds of labels, several draws, volumes, and evaluations that cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.explorer.image_table import image_table
from vesalius.records.result import Result


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("labels")
    (root / "scans").mkdir()
    lines = ["image,patient,age,site,grade,soft"]
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 255, (16, 16)).astype(np.uint8)).save(root / "scans" / f"{number}.png")
        age = "" if number == 0 else 30 + number + 0.5
        lines.append(
            f"{number}.png,p{number // 2},{age},{'north' if number % 2 else 'south'},{number % 3},{number % 2}"
        )
    (root / "scans" / "labels.csv").write_text("\n".join(lines) + "\n")
    prepare(root / "scans", root / "store", size=16, workers=1, progress=False)
    return open_store(root / "store")


def table_of(store: Store, *runs: Path) -> dict[str, Any]:
    return image_table(store, runs)


def write(run: Path, store: Store, predictions: pd.DataFrame, **about: Any) -> Path:
    result = Result(**{
        "task": "linear", "label": "x", "kind": "binary", "scores": (), "train_images": 1, "test_images": 1,
        "train_patients": 1, "test_patients": 1, "protocol": "folds",
    } | about)  # fmt: skip
    folder = result_folder(run, task=result.task, label=result.label, fingerprint=store.fingerprint)
    write_result(folder, result, predictions=predictions)
    return folder


def test_columns_by_the_kind_of_their_label(store: Store) -> None:
    columns = {one["key"]: one for one in table_of(store)["columns"]}
    ages = columns["label:age"]
    assert ages["kind"] == "number"
    assert ages["values"].count(None) == 1
    sites = columns["label:site"]
    assert sites["kind"] == "category"
    manifest = store.manifest
    held = [sites["classes"][one] for one in sites["values"]]
    sources = [int(Path(one).stem) for one in manifest["source"]]
    assert held == ["north" if one % 2 else "south" for one in sources]


def test_labels_that_may_name_patients_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    lines = ["image,patient,record,name,age"]
    generator = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(generator.integers(0, 255, (16, 16)).astype(np.uint8)).save(tmp_path / f"scans/{number}.png")
        lines.append(f"{number}.png,p{number},{10_000 + 37 * number},Doe {number},{40 + number % 5}.0")
    (tmp_path / "scans" / "labels.csv").write_text("\n".join(lines) + "\n")
    prepare(tmp_path / "scans", tmp_path / "store", size=16, workers=1, progress=False)
    held = open_store(tmp_path / "store")
    assert set(held.labels) == {"record", "name", "age"}
    table = image_table(held, [])
    assert [one["key"] for one in table["columns"]] == ["split", "label:age"]
    assert table["left_out"] == 2
    assert "labels.csv" not in str(table)
    asked = image_table(held, [], text_labels=True)
    assert {one["key"] for one in asked["columns"]} == {"split", "label:age", "label:name", "label:record"}


def test_draws_are_averaged_and_what_was_not_scored_is_null(store: Store, tmp_path: Path) -> None:
    ids = store.manifest["image_id"].to_numpy()
    rows = [
        {"arm": arm, "seed": seed, "image_id": ids[row]}
        | {"truth_no": 0.0, "score_no": 1 - score, "truth_yes": 1.0, "score_yes": score}
        for arm, shift in (("pretrained", 0.0), ("pixels", 0.5))
        for seed, score in ((0, 0.2 + shift), (1, 0.4 + shift))
        for row in (3, 5)
    ]  # fmt: skip
    write(tmp_path, store, pd.DataFrame(rows))
    [answer] = table_of(store, tmp_path)["answers"]
    assert answer["classes"] == ["no", "yes"]
    assert answer["scores"][1] == [0.3 if row in (3, 5) else None for row in range(12)]
    assert answer["truth"] == [1 if row in (3, 5) else None for row in range(12)]
    assert not answer["several"]


def test_several_labels_keep_a_truth_each(store: Store, tmp_path: Path) -> None:
    ids = store.manifest["image_id"].to_numpy()
    rows = [
        {
            "arm": "pretrained",
            "seed": 0,
            "image_id": ids[0],
            "truth_a": 1.0,
            "score_a": 0.9,
            "truth_b": np.nan,
            "score_b": 0.2,
        }
    ]
    write(tmp_path, store, pd.DataFrame(rows), kind="multilabel", label="a,b")
    [answer] = table_of(store, tmp_path)["answers"]
    assert answer["several"]
    assert [one[0] for one in answer["truth"]] == [1, None]


def test_a_volumes_dice_stands_at_each_of_its_images(store: Store, tmp_path: Path) -> None:
    patients = sorted(set(store.manifest["patient"]))
    rows = [
        {"image_id": one, "patient": one, "arm": "pretrained", "dice": 0.1 * number}
        for number, one in enumerate(patients)
    ]
    write(tmp_path, store, pd.DataFrame(rows), task="segment", label="heart", kind="part")
    [answer] = table_of(store, tmp_path)["answers"]
    expected = [round(0.1 * patients.index(one), 4) for one in store.manifest["patient"]]
    assert answer["values"] == pytest.approx(expected)


def test_evaluations_of_other_stores_are_not_shown_and_damaged_ones_are_told(store: Store, tmp_path: Path) -> None:
    rows = [
        {"arm": "pretrained", "seed": 0, "image_id": store.manifest["image_id"].iloc[0], "truth_a": 1.0, "score_a": 0.9}
    ]
    folder = write(tmp_path, store, pd.DataFrame(rows))
    other = folder.with_name(folder.name.replace(store.fingerprint[:8], "0" * 8))
    shutil.copytree(folder, other)
    assert len(table_of(store, tmp_path)["answers"]) == 1
    (folder / "predictions.parquet").write_bytes(b"cut short")
    table = table_of(store, tmp_path)
    assert table["answers"] == []
    assert folder.name in table["problems"][0]
