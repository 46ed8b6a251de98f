"""Detection as a task of studies: arms compared on images drawn alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vesalius.errors import ConfigError, LabelError, ManifestError
from vesalius.evaluation.average_precision import METRICS, average_precision
from vesalius.evaluation.coco_objects import read_objects
from vesalius.evaluation.detection_table import from_table, to_table
from vesalius.pipeline import study_work
from vesalius.study.definition import StudyTable, load_study
from vesalius.study.scored import Scored

DETECT = """
about: Boxes
detect: ["size=64", "batch_size=2", "steps=2", "lr=0.01", "proposals=32"]
arms:
  given: {title: As initialised, recipe: medino/deformable-small, set: &set ["guidance=null"], untrained: true}
  own: {title: DINO, recipe: medino/deformable-small, set: *set}
tables:
  boxes:
    title: Boxes
    task: detect
    metric: ap_box
    fraction: 2
    draws: 2
    arms: [given, own]
    beside: random_init
    against: [given, random_init]
    published: {shapes: {objects: {own: 0.4}}}
"""


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    file = tmp_path / "detect.yaml"
    file.write_text(DETECT)
    return file


def test_arms_are_compared_by_their_detectors(
    go: Callable[..., Path],
    tiny: tuple[str, ...],
    write_shapes: Callable[..., Path],
    definition: Path,
    guided_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(study_work, "evaluate_detect", partial(study_work.evaluate_detect, bootstrap=20))
    shapes, out = write_shapes(tmp_path / "shapes", {"train": 4, "val": 3}), tmp_path / "study"
    backbone = "backbone={name: test_resnet, image_size: 32, drop_path: 0}"
    overrides = tuple(backbone if one.startswith("backbone") else one for one in tiny)
    given = {"masks": [], "labels": [], "objects": [shapes], "overrides": overrides}
    text = go(definition, guided_store, out, **given).read_text()
    [line] = [one for one in text.splitlines() if one.startswith("| shapes | objects |")]
    assert line.count("<br>random init ") == 2
    assert "<br>published 0.400" in line
    assert "- shapes, objects: DINO - As initialised " in text
    cells = pd.read_csv(out / "tables" / "boxes.csv")
    own = cells[(cells.arm == "own") & (cells.role == "arm")]
    assert list(own["amount"]) == [2]
    assert ((own["low"] >= 0) & (own["low"] <= own["value"]) & (own["value"] <= own["high"])).all()
    # Two draws of labels, for two arms and their untrained twin, which is trained once for both.
    assert len(list((out / "cache" / "detected").glob("*.npz"))) == 2 * 3
    assert go(definition, guided_store, out, **given).read_text() == text


def test_what_is_no_such_folder_is_refused_before_anything_is_trained(
    go: Callable[..., Path], definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    with pytest.raises(ManifestError, match="annotations"):
        go(definition, guided_store, out, masks=[], labels=[], objects=[guided_store])
    with pytest.raises(ConfigError, match=r"would score nothing: .*--objects FOLDER for detection"):
        go(definition, guided_store, out, masks=[], labels=[])
    assert not (out / "study.json").exists()
    definition.write_text(DETECT.replace("task: detect", "task: detect\n    protocol: split"))
    with pytest.raises(ConfigError, match="task detect keeps to the folder's own sides"):
        load_study(definition)


def test_more_images_than_there_are_are_refused_before_anything_is_trained(
    go: Callable[..., Path], write_shapes: Callable[..., Path], definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    shapes, out = write_shapes(tmp_path / "shapes", {"train": 4, "val": 3}), tmp_path / "study"
    definition.write_text(DETECT.replace("fraction: 2", "fractions: [2, 9]"))
    with pytest.raises(LabelError, match="9 labelled images are asked for, and a training side has 4"):
        go(definition, guided_store, out, masks=[], labels=[], objects=[shapes])
    assert not (out / "study.json").exists()


def test_detectors_are_trained_once_unless_a_table_says_more() -> None:
    shared = {"title": "Boxes", "metric": "ap_box", "arms": ["given"]}
    once, thrice = (StudyTable.model_validate({**shared, "task": "detect", **own}) for own in ({}, {"draws": 3}))
    assert (once.draws, thrice.draws) == (1, 3)
    assert [one.name for table in (once, thrice) for one in Scored.of(table, Path("shapes"))] == [
        "detect-shapes",
        "detect-shapes-3-draws",
    ]
    assert StudyTable.model_validate({**shared, "task": "segment", "metric": "dice"}).draws == 3


def test_detections_survive_the_table(write_shapes: Callable[..., Path], tmp_path: Path) -> None:
    objects = read_objects(write_shapes(tmp_path / "shapes", {"train": 2, "val": 3}))
    from pycocotools import mask

    generator = np.random.default_rng(0)
    found = []
    for one in objects.truth["annotations"]:
        image = next(each for each in objects.truth["images"] if each["id"] == one["image_id"])
        runs = mask.frPyObjects(one["segmentation"], image["height"], image["width"])[0]
        found.append(
            {
                "image_id": one["image_id"],
                "category_id": one["category_id"],
                "bbox": [float(side) for side in one["bbox"]],
                "score": float(generator.random()),
                "segmentation": {"size": list(runs["size"]), "counts": runs["counts"].decode()},
            }
        )
    table = to_table({("pretrained", 0): found, ("random_init", 0): []})
    assert from_table(table, "random_init", 0, objects.truth) == []
    again = from_table(table, "pretrained", 0, objects.truth)
    assert again == found
    figures = average_precision(objects.truth, again, resamples=5, seed=0)
    assert all(figures[name][0] == pytest.approx(1.0) for name in METRICS)
