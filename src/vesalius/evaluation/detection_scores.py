"""What detectors found, scored: a figure an arm and amount of labels, with intervals over patients, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.evaluation.amounts import ALL, labels_words
from vesalius.evaluation.average_precision import METRICS, average_precision
from vesalius.evaluation.coco_objects import ObjectSet
from vesalius.evaluation.detection_options import DetectOptions
from vesalius.evaluation.detection_table import to_table
from vesalius.evaluation.image_scores import ImageScores, score_draws
from vesalius.evaluation.options import differing
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.records.result import Result, Score

__all__ = ["Detected", "score_detections"]


_UNKNOWN = "patients are not known: images were drawn, and one patient may be on both sides"


@dataclass(frozen=True, slots=True)
class Detected:
    """What one training of an arm detects.

    Attributes:
        arm: `pretrained` or `random_init`.
        fraction: Amount of labels.
        seed: Of the draw.
        images: Learned from.
        detections: As `vesalius.evaluation.average_precision.average_precision` takes them.
    """

    arm: str
    fraction: float
    seed: int
    images: int
    detections: Sequence[Mapping[str, Any]]


def score_detections(
    run: Path, objects: ObjectSet, options: DetectOptions, detected: Sequence[Detected], backbone: str
) -> Result:
    """Score what was detected, say how it stands, and write; what the largest amount detects stands beside."""
    told = {fraction: _told(fraction, detected, objects, options) for fraction in options.fractions}
    largest = told[options.fractions[-1]]
    ours = largest.find("pretrained", METRICS[0])
    assert ours is not None  # noqa: S101 (scored above)
    changed, whole = differing(options), options.fractions[-1] == ALL
    amount = "" if whole else f", {labels_words(options.fractions[-1])}"
    changed.get("training", {}).pop("workers", None)  # how many read images shapes nothing
    patients = {side: {one.patient for one in getattr(objects, side)} for side in ("train", "test")}
    known = objects.by_patient
    result = Result(
        task="detect",
        label="objects",
        kind="objects",
        scores=tuple(score for one in told.values() for score in one.scores),
        train_images=len(objects.train),
        test_images=len(objects.test),
        train_patients=len(patients["train"]) if known else 0,
        test_patients=len(patients["test"]) if known else 0,
        protocol="patients" if known else "images",
        settings={
            "training": options.training.model_dump(mode="json"),
            "precision": options.precision,
            "fractions": list(options.fractions),
            "seeds": options.seeds,
            "seed": options.seed,
            "bootstrap": options.bootstrap,
            "sides": objects.sides,
            "classes": list(objects.classes),
            "objects": {side: sum(len(one.boxes) for one in getattr(objects, side)) for side in ("train", "test")},
            "backbone": backbone,
            "stores": [{"name": objects.folder.name, "fingerprint": objects.fingerprint}],
            "seen_in_pretraining": None,
            "changed": changed,
            "comparisons": [
                it for name in METRICS for at, one in told.items() for it in one.compared(name, fraction=at)
            ],
            "notes": [] if known else [_UNKNOWN],
        },
        verdict=f"objects{amount}: AP of boxes {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f}); "
        f"{largest.stands(METRICS[0], ('random_init',))}.",
    )
    folder = result_folder(run, task="detect", label="objects", fingerprint=objects.fingerprint, changed=changed)
    shown = [one for one in detected if one.fraction == options.fractions[-1]]
    write_result(folder, result, predictions=to_table({(one.arm, one.seed): one.detections for one in shown}))
    return result


def _told(fraction: float, detected: Sequence[Detected], objects: ObjectSet, options: DetectOptions) -> ImageScores:
    """Score every arm at one amount: the mean over draws of labels, whose intervals pool their draws."""
    scores: list[Score] = []
    draws: dict[tuple[str, str], list[npt.NDArray[np.float64]]] = {}
    for arm in dict.fromkeys(one.arm for one in detected):
        mine = [one for one in detected if (one.arm, one.fraction) == (arm, fraction)]
        images = float(np.mean([one.images for one in mine]))
        how: dict[str, Any] = {"resamples": options.bootstrap, "seed": options.seed}
        how["patients"] = objects.scored_patients
        figures = [average_precision(objects.truth, one.detections, **how) for one in mine]
        for metric in METRICS:
            draws[arm, metric] = [one[metric][1] for one in figures]
            score = score_draws(arm, metric, [one[metric][0] for one in figures], draws[arm, metric])
            scores.append(replace(score, fraction=fraction, images=images))
    return ImageScores(tuple(scores), draws)
