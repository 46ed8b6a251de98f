"""The verbs as Python functions."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from rich.console import Console

import vesalius
from vesalius import pipeline
from vesalius.data.doctor_report import DoctorReport
from vesalius.errors import LabelError, RunError, StoreError

TINY = (
    "views.options={size: 32, locals: 0}",
    "backbone={name: test_vit, image_size: 32}",
    "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16}",
    "training={batch_size: 16, epochs: 0.25, accelerator: cpu}",
)


def test_the_verbs_are_public() -> None:
    for verb in ("doctor", "evaluate", "explain", "open_store", "prepare", "pretrain", "report"):
        assert getattr(vesalius, verb) is getattr(pipeline, verb)
        assert inspect.getdoc(getattr(pipeline, verb))


def test_open_store_and_doctor(phantom_store: Path) -> None:
    store = pipeline.open_store(phantom_store)
    assert len(store) == 64
    assert store.images[0].shape == (40, 40)
    report = pipeline.doctor(phantom_store.parent / "scans")
    assert isinstance(report, DoctorReport)
    assert report.images == 64


@pytest.mark.parametrize(
    ("data", "images", "splits"),
    [
        ("{s}", "train", ["train"]),
        ("{s}@all", "all", ["all"]),
        ("{s}@train+val", "train+val", ["train+val"]),
        (["{s}@test", "{s}@val"], "test+val", ["test", "val"]),
    ],
)
def test_which_images_are_trained_on(phantom_store: Path, tmp_path: Path, data, images: str, splits) -> None:
    named = [d.format(s=phantom_store) for d in data] if isinstance(data, list) else data.format(s=phantom_store)
    small = "training={batch_size: 2, epochs: 0.05, accelerator: cpu}"
    run = pipeline.pretrain("dino/small", data=named, out=tmp_path / "run", overrides=[*TINY, small])
    about = json.loads((run / "run.json").read_text())["data"]
    store = pipeline.open_store(phantom_store)
    rows = store.rows() if images == "all" else store.rows(split=images.split("+"))
    assert about["images"] == len(rows)
    assert about["patients"] == store.manifest["patient"].iloc[rows].nunique()
    assert about["split"] == splits
    assert about["store"] == " + ".join(["store"] * len(splits))


def test_a_path_with_an_at_sign(phantom_store: Path, tmp_path: Path) -> None:
    (tmp_path / "me@work").symlink_to(phantom_store)
    run = pipeline.pretrain("dino/small", data=tmp_path / "me@work", out=tmp_path / "run", overrides=TINY)
    assert json.loads((run / "run.json").read_text())["data"]["split"] == ["train"]


def test_no_data_and_no_such_label(phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no data"):
        pipeline.pretrain("dino/small", data=[], out=tmp_path / "run")
    with pytest.raises(LabelError, match="no classifiable label 'age'"):
        pipeline.pretrain(
            "dino/small", data=phantom_store, out=tmp_path / "run", overrides=[*TINY, "monitors.knn_label=age"]
        )
    assert not (tmp_path / "run").exists()


def test_monitors_of_another_store(phantom_store: Path, tmp_path: Path) -> None:
    chosen = [f"monitors.knn_store={phantom_store}", "monitors.knn_label=sex"]
    run = pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=tmp_path / "run", overrides=[*TINY, *chosen])
    names = {line.split(",")[3] for line in (run / "metrics.csv").read_text().splitlines()[1:]}
    assert {name for name in names if name.startswith("knn")} == {"knn_sex_auc"}
    assert {"loss", "lr", "weight_decay", "feature_rank", "teacher_entropy", "teacher_entropy_max"} <= names


def test_a_recipe_file_and_the_resolved_recipe(phantom_store: Path, tmp_path: Path) -> None:
    """The recipe that a run wrote trains the same again."""
    first = pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=tmp_path / "one", overrides=TINY)
    again = pipeline.pretrain(first / "recipe.yaml", data=f"{phantom_store}@all", out=tmp_path / "two")
    assert (first / "recipe.yaml").read_text() == (again / "recipe.yaml").read_text()
    losses = [
        [line.split(",")[4] for line in (run / "metrics.csv").read_text().splitlines() if ",loss," in line]
        for run in (first, again)
    ]
    assert losses[0] == losses[1]
    assert losses[0]


def test_a_begun_folder_without_a_recipe_is_begun_anew(phantom_store: Path, tmp_path: Path) -> None:
    """A kill between the files of a new run leaves no recipe; the same command, with or without --resume, goes on."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "recipe.yaml.partial").write_text("na")
    pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=folder, overrides=TINY, resume=True)
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    with pytest.raises(RunError, match="holds a run already"):
        pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=folder, overrides=TINY)


def test_pictures_lost_to_a_kill_are_drawn_by_resume(phantom_store: Path, tmp_path: Path) -> None:
    run = pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=tmp_path / "run", overrides=TINY)
    for picture in ("views.png", "attention.png"):
        assert (run / "pictures" / picture).read_bytes().startswith(b"\x89PNG")
        (run / "pictures" / picture).unlink()
    console = Console(record=True, quiet=False, force_terminal=True, width=200)
    pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=run, resume=True, console=console)
    assert "already done" in console.export_text()
    assert {path.name for path in (run / "pictures").iterdir()} == {"views.png", "attention.png"}
