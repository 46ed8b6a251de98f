from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.pool_record import count_seen, read_pool, write_pool
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.errors import ConfigError, LabelError, RunError, SplitError
from vesalius.evaluation.evaluate_run import evaluate_run
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.gather import gather
from vesalius.evaluation.options import EvaluationOptions
from vesalius.evaluation.targets import read_targets
from vesalius.evaluation.write_result import read_result

FEW = {"fractions": (0.2, 1.0), "seeds": 1, "bootstrap": 100, "precision": "fp32"}
FAST = {
    "options": EvaluationOptions(**FEW),
    "device": "cpu",
    "progress": False,
}


def _folders(run: Path) -> set[str]:
    return {path.name for path in (run / "evaluations").iterdir()}


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
    [folder] = (run / "evaluations").iterdir()
    assert folder.name.startswith(f"{task}-side-{store.fingerprint[:8]}-")
    assert read_result(folder).verdict == result.verdict
    table = pd.read_parquet(folder / "scores.parquet")
    assert len(table) == len(result.scores)
    assert set(table.columns) == {
        "arm",
        "metric",
        "value",
        "low",
        "high",
        "fraction",
        "seeds",
        "spread",
        "median",
        "images",
    }
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
    before = {path: path.stat().st_mtime_ns for path in (run / "features").glob("*.npz")}
    assert len(before) == 3
    monkeypatch.setattr("vesalius.evaluation.features.extract_features", None)
    assert evaluate_run(run, store, task="knn", label="side", **FAST) == first
    assert {path: path.stat().st_mtime_ns for path in (run / "features").glob("*.npz")} == before


def test_another_store_may_be_the_test_side_but_not_the_same_patients(run: Path, stores) -> None:
    store, other = stores
    result = evaluate_run(run, store, task="knn", label="side", test_store=other, **FAST)
    assert result.protocol == "other_store"
    assert (result.train_images, result.test_images) == (80, 80)
    assert not any("different salts" in note for note in result.settings["notes"])
    evaluate_run(run, other, task="knn", label="side", **FAST)
    assert len(_folders(run)) == 2  # the same store scored after learning on another is another result
    assert all(name.startswith(f"knn-side-{other.fingerprint[:8]}-") for name in _folders(run))
    with pytest.raises(SplitError, match="40 patients are in both stores"):
        evaluate_run(run, store, task="knn", label="side", test_store=store, **FAST)


def _with_sites(store: Store, classes: tuple[str, ...], *, kind: str = "multiclass") -> Store:
    """The store with sites dealt in turn to its images."""
    changed = dataclasses.replace(store, info={**store.info, "labels": {**store.labels}})
    changed.info["labels"]["site"] = {"kind": kind, "classes": list(classes), "description": ""}
    vars(changed)["manifest"] = store.manifest.assign(label_site=np.arange(len(store)) % len(classes))
    return changed


def test_a_store_of_fewer_classes_is_scored_by_their_names(stores) -> None:
    here = _with_sites(stores[0], ("east", "north", "west"))
    job = gather(here, _with_sites(stores[1], ("west", "east")), "site")
    scored = job.targets.values[job.sides.test]
    assert job.targets.classes == ("east", "north", "west")
    assert scored.tolist() == [2, 0] * 40
    with pytest.raises(LabelError, match=r"'site' has the classes.*leave out the images of south, or prepare both"):
        gather(here, _with_sites(stores[1], ("west", "south")), "site")
    with pytest.raises(LabelError, match=r"'site' is multiclass in .* but ordinal in"):
        gather(here, _with_sites(stores[1], ("west", "east"), kind="ordinal"), "site")
    grades = _with_sites(stores[0], ("east", "north", "west"), kind="ordinal")
    with pytest.raises(LabelError, match="their order has to be the same"):
        gather(grades, _with_sites(stores[1], ("west", "east"), kind="ordinal"), "site")


def test_labels_that_no_image_knows_are_not_proposed(stores) -> None:
    manifest = stores[0].manifest.copy()
    manifest["label_site"] = np.nan
    store = dataclasses.replace(stores[0])
    vars(store)["manifest"] = manifest  # cached there
    with pytest.raises(LabelError, match=r"no image knows 'site'; labels that can be evaluated: \['side'\]"):
        read_targets(store, "site")
    manifest["label_side"] = np.nan
    with pytest.raises(LabelError, match="no image knows 'site'; nor any other label that can be evaluated"):
        read_targets(store, "site")


def test_only_images_that_know_the_label_take_part_and_several_labels_make_one_task(run: Path, stores) -> None:
    store, _ = stores
    assert len(read_targets(store, "site").rows) == 72
    both = read_targets(store, "side, site")
    assert (both.kind, both.classes, both.values.shape) == ("multilabel", ("side", "site"), (80, 2))
    assert int(np.isnan(both.values).sum()) == 8
    result = evaluate_run(run, store, task="linear", label="side,site", **FAST)
    assert result.kind == "multilabel"
    [name] = _folders(run)
    assert name.startswith(f"linear-side+site-{store.fingerprint[:8]}-")


def test_wrong_labels_and_runs_are_named(run: Path, stores, tmp_path) -> None:
    store, _ = stores
    with pytest.raises(LabelError, match=r"no label 'sid'; did you mean 'side'.*\['side', 'site'\]"):
        evaluate_run(run, store, task="knn", label="sid", **FAST)
    with pytest.raises(LabelError, match="kind 'number'"):
        evaluate_run(run, store, task="knn", label="dose", **FAST)
    with pytest.raises(RunError, match="no backbone in it"):
        evaluate_run(tmp_path / "nothing", store, task="knn", label="side", **FAST)


def test_the_defaults_have_the_plain_name_and_other_settings_a_folder_of_their_own(run: Path, stores) -> None:
    store, _ = stores
    plain = evaluate_run(run, store, task="knn", label="side", device="cpu", progress=False)
    assert _folders(run) == {f"knn-side-{store.fingerprint[:8]}"}
    assert plain.settings["changed"] == {}
    for change in ({"k": 5}, {"k": 7}, {"features": "cls"}, {"k": 5}):
        again = evaluate_run(
            run, store, task="knn", label="side", **FAST | {"options": EvaluationOptions(**FEW, **change)}
        )
        assert again.settings["changed"].items() >= change.items()
    assert len(_folders(run)) == 4
    assert read_result(run / "evaluations" / f"knn-side-{store.fingerprint[:8]}").settings["k"] == 20
    assert EvaluationOptions(solver="sgd").changed("knn") == {}
    assert EvaluationOptions(solver="sgd").changed("linear") == {"solver": "sgd"}


def test_scored_images_that_the_pretraining_had_are_counted(run: Path, stores) -> None:
    store, other = stores
    before = evaluate_run(run, store, task="knn", label="side", **FAST)
    assert before.settings["seen_in_pretraining"] is None
    assert "not known" in before.seen_in_words()
    write_pool(run / "pool.parquet", [(store, np.arange(0, 30)), (other, np.arange(80))])
    after = evaluate_run(run, store, task="knn", label="side", **FAST)
    patients = store.manifest["patient"].iloc[:30].nunique()
    assert after.settings["seen_in_pretraining"] == {
        "test_images": 30,
        "test_patients": patients,
        "of_images": 80,
        "of_patients": 40,
        "patients_compared": True,
    }
    assert "30 of 80 scored images were among the unlabelled images" in after.seen_in_words()
    assert after.scores == before.scores
    write_pool(run / "pool.parquet", [(other, np.arange(80))])
    apart = evaluate_run(run, store, task="knn", label="side", **FAST)
    assert "None of the 80 scored images, and no other image of their patients" in apart.seen_in_words()
    # One of each patient's two images: the other one is scored.
    first = np.flatnonzero(~store.manifest["patient"].duplicated().to_numpy())
    second = np.flatnonzero(store.manifest["patient"].duplicated().to_numpy())
    write_pool(run / "pool.parquet", [(store, first)])
    pool = read_pool(run / "pool.parquet")
    assert pool is not None
    seen = count_seen(pool, store, second)
    assert (seen["test_images"], seen["test_patients"]) == (0, 40)


def test_a_score_without_its_baseline_is_refused() -> None:
    with pytest.raises(ConfigError, match="random_inits = 0: at least one untrained twin"):
        EvaluationOptions(random_inits=0)
    with pytest.raises(ConfigError, match="fractions is empty"):
        EvaluationOptions(fractions=())


def test_the_verb_has_the_same_names_and_defaults() -> None:
    verb = inspect.signature(pipeline.evaluate).parameters
    told_otherwise = {"fractions", "finetune"}  # chosen by the task; given as `search` and `overrides`
    for field in dataclasses.fields(EvaluationOptions):
        if field.name not in told_otherwise:
            assert verb[field.name].default == field.default, field.name
    assert verb["fractions"].default is None
    assert verb["search"].default == FinetuneOptions().search
