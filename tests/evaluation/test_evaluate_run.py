from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vesalius.backbones.timm_backbones import BackboneConfig, create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.errors import LabelError, RunError, SplitError
from vesalius.evaluation.evaluate_run import evaluate_run
from vesalius.evaluation.targets import read_targets
from vesalius.evaluation.write_result import read_result

FAST = {
    "fractions": (0.2, 1.0),
    "seeds": 1,
    "bootstrap": 100,
    "device": "cpu",
    "precision": "fp32",
    "progress": False,
}


def _write_set(folder: Path, *, patients: int, seed: int) -> None:
    """Two noisy images a patient with a bright square on the left (0) or right (1), and a table of labels."""
    generator = np.random.default_rng(seed)
    folder.mkdir()
    lines = []
    for patient in range(patients):
        side = int(generator.integers(2))
        for image in range(2):
            pixels = generator.integers(0, 120, size=(48, 48))
            row = int(generator.integers(4, 28))
            pixels[row : row + 12, 6 + 24 * side : 18 + 24 * side] += 100
            name = f"s{seed}p{patient:03d}i{image}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            site = "" if patient % 10 == 0 else str(patient % 2)
            lines.append(f"{name},s{seed}p{patient},{side},{site},{1.5 * patient + image}")
    (folder / "labels.csv").write_text("image,patient,side,site,dose\n" + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> tuple[Store, Store]:
    root = tmp_path_factory.mktemp("sets")
    for seed in (1, 2):
        _write_set(root / f"set{seed}", patients=40, seed=seed)
        prepare(root / f"set{seed}", root / f"store{seed}", size=48, workers=1, salt_file=root / "salt", progress=False)
    return open_store(root / "store1"), open_store(root / "store2")


@pytest.fixture
def run(tmp_path) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=48, in_chans=1))
    save_backbone(backbone, tmp_path / "run" / "backbone", state=backbone.state_dict())
    return tmp_path / "run"


@pytest.mark.parametrize("task", ["knn", "linear"])
def test_writes_every_arm_with_intervals_and_what_a_report_reads(run: Path, stores, task: str) -> None:
    store, _ = stores
    result = evaluate_run(run, store, task=task, label="side", **FAST)
    assert {score.arm for score in result.scores} == {"pretrained", "random_init", "pixels", "chance"}
    assert result.protocol == "folds"
    assert result.test_images == 80
    assert "at random init" in result.verdict
    assert "Raw pixels" in result.verdict
    folder = run / "evaluations" / f"{task}-side-{store.fingerprint[:8]}"
    assert read_result(folder).verdict == result.verdict
    table = pd.read_parquet(folder / "scores.parquet")
    assert len(table) == len(result.scores)
    assert set(table.columns) == {"arm", "metric", "value", "low", "high", "fraction", "seeds", "spread"}
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert set(predictions["image_id"]) == set(store.manifest["image_id"])
    assert (folder / "neighbours.json").exists() == (task == "knn")
    if task == "knn":
        found = json.loads((folder / "neighbours.json").read_text())
        patient = store.manifest["patient"].to_numpy()
        for query, near in zip(found["queries"], found["neighbours"], strict=True):
            assert patient[query] not in set(patient[near])


def test_features_are_extracted_once(run: Path, stores, monkeypatch) -> None:
    store, _ = stores
    first = evaluate_run(run, store, task="knn", label="side", **FAST)
    before = {path: path.stat().st_mtime_ns for path in (run / "features").iterdir()}
    assert len(before) == 3
    monkeypatch.setattr("vesalius.evaluation.features.extract_features", None)
    assert evaluate_run(run, store, task="knn", label="side", **FAST) == first
    assert {path: path.stat().st_mtime_ns for path in (run / "features").iterdir()} == before


def test_another_store_may_be_the_test_side_but_not_the_same_patients(run: Path, stores) -> None:
    store, other = stores
    result = evaluate_run(run, store, task="knn", label="side", test_store=other, **FAST)
    assert result.protocol == "other_store"
    assert (result.train_images, result.test_images) == (80, 80)
    assert not any("different salts" in note for note in result.settings["notes"])
    assert (run / "evaluations" / f"knn-side-{other.fingerprint[:8]}").is_dir()
    with pytest.raises(SplitError, match="40 patients are in both stores"):
        evaluate_run(run, store, task="knn", label="side", test_store=store, **FAST)


def test_only_images_that_know_the_label_take_part_and_several_labels_make_one_task(run: Path, stores) -> None:
    store, _ = stores
    assert len(read_targets(store, "site").rows) == 72
    both = read_targets(store, "side, site")
    assert (both.kind, both.classes, both.values.shape) == ("multilabel", ("side", "site"), (80, 2))
    assert int(np.isnan(both.values).sum()) == 8
    result = evaluate_run(run, store, task="linear", label="side,site", random_inits=0, **FAST | {"fractions": (1.0,)})
    assert result.kind == "multilabel"
    assert (run / "evaluations" / f"linear-side+site-{store.fingerprint[:8]}").is_dir()


def test_wrong_labels_and_runs_are_named(run: Path, stores, tmp_path) -> None:
    store, _ = stores
    with pytest.raises(LabelError, match=r"no label 'sid'; did you mean 'side'.*\['side', 'site'\]"):
        evaluate_run(run, store, task="knn", label="sid", **FAST)
    with pytest.raises(LabelError, match="kind 'number'"):
        evaluate_run(run, store, task="knn", label="dose", **FAST)
    with pytest.raises(RunError, match="no backbone in it"):
        evaluate_run(tmp_path / "nothing", store, task="knn", label="side", **FAST)
