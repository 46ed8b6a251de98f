"""Scores of detectors: means over draws of labels, amount by amount, and tables from which they can be had again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vesalius.evaluation.average_precision import average_precision
from vesalius.evaluation.coco_objects import ObjectSet, masks_of, read_objects
from vesalius.evaluation.detect import draw_images
from vesalius.evaluation.detection_options import DetectOptions
from vesalius.evaluation.detection_scores import Detected, score_detections
from vesalius.evaluation.detection_table import from_table
from vesalius.evaluation.fit_detection import as_runs


@pytest.fixture(scope="module")
def objects(write_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> ObjectSet:
    return read_objects(write_shapes(tmp_path_factory.mktemp("coco") / "shapes", {"train": 8, "val": 4}))


def found(objects: ObjectSet, images: int) -> list[dict[str, Any]]:
    """What is there, exactly, in the first images."""
    return [
        {
            "image_id": image.number,
            "category_id": objects.categories[int(label) - 1],
            "bbox": [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])],
            "score": 0.9,
            "segmentation": as_runs(shape),
        }
        for image in objects.test[:images]
        for box, label, shape in zip(image.boxes, image.classes, masks_of(image), strict=True)
    ]


def test_figures_are_means_over_draws_and_tables_keep_them(objects: ObjectSet, tmp_path: Path) -> None:
    options = DetectOptions(fractions=(4.0, 1.0), seeds=2, bootstrap=10)
    detected = [Detected("random_init", fraction, seed, 4, []) for fraction in options.fractions for seed in (0, 1)]
    detected += [
        Detected("pretrained", 4.0, 0, 4, found(objects, 4)),
        Detected("pretrained", 4.0, 1, 4, []),
        Detected("pretrained", 1.0, 0, 8, found(objects, 4)),
        Detected("pretrained", 1.0, 1, 8, found(objects, 2)),
    ]
    result = score_detections(tmp_path, objects, options, detected, "test_resnet")
    ours = {one.fraction: one for one in result.scores if (one.arm, one.metric) == ("pretrained", "ap_box")}
    assert ours[4.0].value == pytest.approx(0.5)  # all of it, and nothing
    assert ours[4.0].spread == pytest.approx(np.std([1, 0], ddof=1))
    assert (ours[4.0].low, ours[4.0].high) == (0, 1)
    assert 0.5 < ours[1.0].value < 1
    assert (ours[1.0].images, ours[1.0].seeds) == (8, 2)
    gains = {it["fraction"]: it["difference"] for it in result.settings["comparisons"] if it["metric"] == "ap_box"}
    assert gains == pytest.approx({fraction: one.value for fraction, one in ours.items()})
    [file] = tmp_path.glob("evaluations/detect-objects*/predictions.parquet")
    table = pd.read_parquet(file)
    again = [from_table(table, "pretrained", seed, objects.truth) for seed in (0, 1)]
    values = [average_precision(objects.truth, one, resamples=1, seed=0)["ap_box"][0] for one in again]
    assert np.mean(values) == pytest.approx(ours[1.0].value)
    assert from_table(table, "random_init", 0, objects.truth) == []
    older = table[table["seed"] == 0].drop(columns="seed")  # written before labels were drawn
    assert from_table(older, "pretrained", 0, objects.truth) == again[0]


def test_draws_are_nested_and_follow_the_seed(objects: ObjectSet) -> None:
    options = DetectOptions(fractions=(2.0, 4.0, 0.75, 1.0), seeds=2)
    numbers = {
        (one.fraction, one.seed): {image.number for image in one.images} for one in draw_images(objects, options)
    }
    for seed in (0, 1):
        assert [len(numbers[at, seed]) for at in (2.0, 4.0, 0.75, 1.0)] == [2, 4, 6, 8]
        assert numbers[2.0, seed] < numbers[4.0, seed] < numbers[0.75, seed] < numbers[1.0, seed]
    assert numbers[4.0, 0] != numbers[4.0, 1]
    again = draw_images(objects, DetectOptions(fractions=(4.0,), seeds=1, seed=1))
    assert {image.number for image in again[0].images} == numbers[4.0, 1]


def test_draws_keep_patients_whole(write_shapes: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "shapes", {"train": 8, "val": 4})
    for table in ("train", "val"):
        path = folder / "annotations" / f"instances_{table}.json"
        content = json.loads(path.read_text())
        for image in content["images"]:
            image["patient_id"] = f"{table}{image['id'] % 4}"
        path.write_text(json.dumps(content))
    objects = read_objects(folder)
    options = DetectOptions(fractions=(0.5, 1.0), seeds=3)
    for draw in draw_images(objects, options):
        whose = [one.patient for one in draw.images]
        assert len(whose) == 8 * draw.fraction
        assert all(whose.count(one) == 2 for one in whose)
