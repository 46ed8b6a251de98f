"""COCO's average precision: cases known by hand, COCO's own summary, and resampled images."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vesalius.evaluation.average_precision import METRICS, average_precision

SIDE = 40


def truth_of(boxes: dict[int, list[tuple[int, int, int, int, int]]]) -> dict:
    """Images and objects (category, x, y, width, height), filled rectangles."""
    annotations = []
    for image, own in boxes.items():
        for category, x, y, width, height in own:
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [corners],
                }
            )
    images = [{"id": image, "file_name": f"{image}.png", "height": SIDE, "width": SIDE} for image in boxes]
    return {"images": images, "annotations": annotations, "categories": [{"id": c, "name": str(c)} for c in (3, 7)]}


def detection(image: int, category: int, box: tuple[int, int, int, int], score: float) -> dict:
    x, y, width, height = box
    filled = np.zeros((SIDE, SIDE), dtype=np.uint8)
    filled[y : y + height, x : x + width] = 1
    runs = mask.encode(np.asfortranarray(filled))
    return {
        "image_id": image,
        "category_id": category,
        "bbox": list(map(float, box)),
        "score": score,
        "segmentation": {"size": [SIDE, SIDE], "counts": runs["counts"].decode()},
    }


def test_what_is_found_exactly_scores_one_and_what_is_missed_half() -> None:
    truth = truth_of({1: [(3, 2, 2, 10, 10)], 2: [(3, 5, 8, 12, 20)]})
    both = [detection(1, 3, (2, 2, 10, 10), 0.9), detection(2, 3, (5, 8, 12, 20), 0.8)]
    assert {name: value for name, (value, _) in average_precision(truth, both, resamples=5, seed=0).items()} == {
        name: pytest.approx(1.0) for name in METRICS
    }
    one = average_precision(truth, both[:1], resamples=400, seed=0)
    assert one["ap_box"][0] == pytest.approx(51 / 101)  # precision 1 up to a recall of .5, of 101 places
    # A resample draws both images, the found one twice or the missed one twice: 1/2, 1/4 and 1/4 of the time.
    values, counts = np.unique(one["ap_box"][1].round(3), return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 0.505, 1.0], abs=1e-3)
    assert (counts / 400).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.06)
    assert one["ap_box"][1].tolist() == average_precision(truth, both[:1], resamples=400, seed=0)["ap_box"][1].tolist()


def test_a_box_that_is_off_counts_by_its_overlap() -> None:
    """10 x 10 beside itself by 2: IoU 80/120 = .667, so that it counts at .5, .55, .6 and .65 of ten thresholds."""
    truth = truth_of({1: [(3, 2, 2, 10, 10)]})
    found = average_precision(truth, [detection(1, 3, (4, 2, 10, 10), 0.5)], resamples=3, seed=0)
    assert found["ap_box"][0] == pytest.approx(0.4)
    assert (found["ap50_mask"][0], found["ap75_mask"][0]) == (pytest.approx(1.0), 0.0)


def test_the_same_as_coco_says(capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(3)
    boxes = {
        image: [(int(generator.choice([3, 7])), *map(int, generator.integers(2, 18, 4))) for _ in range(4)]
        for image in range(1, 9)
    }
    truth = truth_of(boxes)
    guessed = [
        detection(image, category, tuple(max(1, value + int(generator.integers(-2, 3))) for value in box), score)
        for image, own in boxes.items()
        for category, *box in own
        for score in [float(generator.random())]
    ]
    found = average_precision(truth, guessed, resamples=2, seed=0)
    for kind, word in (("bbox", "box"), ("segm", "mask")):
        real = COCO()
        real.dataset = copy.deepcopy(truth)
        real.createIndex()
        run = COCOeval(real, real.loadRes(copy.deepcopy(guessed)), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
        assert [found[f"{name}_{word}"][0] for name in ("ap", "ap50", "ap75")] == pytest.approx(run.stats[:3].tolist())
        assert 0.1 < run.stats[0] < 0.9
    capsys.readouterr()


def test_nothing_detected_is_nothing() -> None:
    found = average_precision(truth_of({1: [(3, 2, 2, 10, 10)]}), [], resamples=4, seed=0)
    assert {value for value, _ in found.values()} == {0.0}


def test_images_of_a_patient_are_drawn_together() -> None:
    """Two patients, one whose three images are all found, one whose single image is missed: three kinds of draws."""
    truth = truth_of({image: [(3, 2, 2, 10, 10)] for image in (4, 1, 3, 2)})
    found = [detection(image, 3, (2, 2, 10, 10), 0.9) for image in (1, 2, 4)]
    patients = {1: "a", 2: "a", 3: "b", 4: "a"}
    value, drawn = average_precision(truth, found, resamples=300, seed=0, patients=patients)["ap_box"]
    assert value == pytest.approx(76 / 101)  # of 101 places those up to a recall of .75
    kinds, many = np.unique(drawn.round(6), return_counts=True)
    assert kinds == pytest.approx([0, 76 / 101, 1], abs=1e-6)
    assert many / 300 == pytest.approx([0.25, 0.5, 0.25], abs=0.08)
    alone = average_precision(truth, found, resamples=300, seed=0, patients={1: "a", 2: "b", 3: "c", 4: "d"})
    by_image = average_precision(truth, found, resamples=300, seed=0)
    assert np.array_equal(alone["ap_box"][1], by_image["ap_box"][1])
