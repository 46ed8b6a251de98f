"""Detection: how well a backbone serves Mask R-CNN on images with boxes and outlines, beside its untrained twin."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.devices import choose_device
from vesalius.evaluation.amounts import ALL
from vesalius.evaluation.average_precision import METRICS, average_precision, check_installed
from vesalius.evaluation.coco_objects import ObjectSet, read_objects
from vesalius.evaluation.detection_network import detection_network
from vesalius.evaluation.detection_options import DetectOptions
from vesalius.evaluation.detection_table import to_table
from vesalius.evaluation.features import autocast_bf16, backbone_fingerprint
from vesalius.evaluation.fit_detection import detections_of, fit_detection
from vesalius.evaluation.image_scores import ImageScores
from vesalius.evaluation.intervals import percentile_interval
from vesalius.evaluation.kept_arrays import digest_of, kept_arrays
from vesalius.evaluation.options import differing
from vesalius.evaluation.untrained_twin import TWIN_SEED, random_twin
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.locks import holding
from vesalius.progress import bar, say
from vesalius.records.result import Result, Score
from vesalius.seeding import seeded
from vesalius.training.run_folder import RunFolder

__all__ = ["detect_cost", "evaluate_detect"]

_LAYOUT = 1  # of what is kept; a change of how networks are trained raises it
_TIMED = 2

_DEFAULTS = DetectOptions()


def evaluate_detect(
    run: Path,
    folder: Path,
    *,
    options: DetectOptions = _DEFAULTS,
    device: str = "auto",
    cache: Path | None = None,
    progress: bool = True,
) -> Result:
    """Train Mask R-CNN on a run's backbone and on an untrained one, score both, and write the outcome.

    Both are trained alike, whole, by the same schedule; the weights at its end are scored. Batch norms learn with the
    batch. Intervals are of the scored images, drawn anew; patients are not known.

    Args:
        run: Any run; its backbone must have stages.
        folder: Images, boxes and outlines in COCO's format, see `vesalius.evaluation.coco_objects.read_objects`.
        options: What else shapes the figures.
        device: `auto`, `cpu`, `cuda`, `mps`.
        cache: Where what every network detects is kept (`detected/`), the run by default: a killed evaluation goes on,
            and those that share the folder share the untrained network.
        progress: Show a bar.

    Raises:
        ManifestError: Tables that are not there, or damaged.
        LabelError: No object to learn from, or to score.
        BackboneError: A backbone without maps at strides 4 to 32.
        ConfigError: pycocotools is not installed; unknown precision.
        EvaluationError: The loss of a training is not finite.
    """
    check_installed()
    objects = read_objects(folder, seed=options.seed)
    backbone = load_backbone(RunFolder(run).backbone)
    where = choose_device(device)
    twin = random_twin(backbone, seed=TWIN_SEED + options.seed)
    training = _Training(objects, options, where, (cache or run) / "detected")
    networks = {"pretrained": backbone, "random_init": twin}
    steps = options.training.steps_of(len(objects.train))
    if progress and not all(training.kept(one) for one in networks.values()):
        seconds = training.seconds_a_step(backbone)
        cost = f"2 trainings of {steps:,} steps, {seconds:.2f} s each: {2 * steps * seconds / 60:.0f} minutes"
        say(f"detect: {cost}; what is done stays done", show=True)
    with bar("detect", 2 * (steps + len(objects.test)), show=progress) as advance:
        detected = {arm: training.detections(one, advance) for arm, one in networks.items()}
    return _written(run, objects, options, detected, backbone.name)


def detect_cost(
    backbone: Backbone, folder: Path, *, options: DetectOptions, device: str = "auto"
) -> tuple[int, Callable[[], float]]:
    """Return how many steps one network's training has, and what times one, in seconds, on a copy.

    Raises:
        See `evaluate_detect`.
    """
    objects = read_objects(folder, seed=options.seed)
    training = _Training(objects, options, choose_device(device), Path())
    return options.training.steps_of(len(objects.train)), partial(training.seconds_a_step, backbone)


@dataclass(frozen=True, slots=True)
class _Training:
    """What trains networks on one set."""

    objects: ObjectSet
    options: DetectOptions
    device: torch.device
    folder: Path

    def detections(self, backbone: Backbone, advance: Callable[[int], None]) -> list[dict[str, Any]]:
        """Return what a network on this backbone detects, from the folder or trained now."""
        options, objects = self.options, self.objects
        steps = options.training.steps_of(len(objects.train))
        file = self._file(backbone)
        checkpoint = file.with_suffix(".ckpt")

        def found() -> dict[str, npt.NDArray[Any]]:
            network = self._network(backbone)
            channels = backbone.preprocessing.in_chans
            where: dict[str, Any] = {"channels": channels, "device": self.device, "advance": advance}
            fit_detection(network, objects.train, options.training, seed=options.seed, checkpoint=checkpoint, **where)
            text = json.dumps(detections_of(network, objects, **where))
            return {"detections": np.frombuffer(text.encode(), dtype=np.uint8)}

        with holding(self.folder / ".locks" / file.stem, wait=True):  # others that share the folder wait
            kept = kept_arrays(file, found, found=lambda: advance(steps + len(objects.test)))
            checkpoint.unlink(missing_ok=True)
        return list(json.loads(kept["detections"].tobytes().decode()))

    def kept(self, backbone: Backbone) -> bool:
        """Say whether it was done before."""
        return self._file(backbone).is_file()

    def _file(self, backbone: Backbone) -> Path:
        """Return where is kept what a network on this backbone detects."""
        options, objects = self.options, self.objects
        how = sorted(options.training.model_dump(exclude={"workers"}).items())
        what = [_LAYOUT, backbone_fingerprint(backbone), objects.fingerprint, options.seed, how, self._bf16]
        return self.folder / f"{digest_of([*what, [one.number for one in objects.train]])}.npz"

    def seconds_a_step(self, backbone: Backbone) -> float:
        """Time a few steps on a copy that is thrown away."""
        seconds = []
        few = self.options.training.model_copy(update={"steps": 1, "lr": 1e-9})
        network = self._network(backbone)
        for _ in range(_TIMED):
            start = time.perf_counter()
            fit_detection(
                network,
                self.objects.train,
                few,
                channels=backbone.preprocessing.in_chans,
                seed=0,
                device=self.device,
                checkpoint=None,
            )
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def _network(self, backbone: Backbone) -> nn.Module:
        side = self.options.training.size
        with seeded(self.options.seed, self.device):
            network = detection_network(
                copy.deepcopy(backbone).cpu(),
                len(self.objects.classes),
                size=side,
                proposals=self.options.training.proposals,
                bf16=self._bf16,
            )
        return network.to(self.device)

    @property
    def _bf16(self) -> bool:
        return autocast_bf16(self.options.precision, self.device)


def _written(
    run: Path,
    objects: ObjectSet,
    options: DetectOptions,
    detected: Mapping[str, Sequence[Mapping[str, Any]]],
    backbone: str,
) -> Result:
    """Score what was detected, say how it stands, and write."""
    scores, draws, learned = [], {}, float(len(objects.train))
    for arm, detections in detected.items():
        figures = average_precision(objects.truth, detections, resamples=options.bootstrap, seed=options.seed)
        for metric in METRICS:
            value, draws[arm, metric] = figures[metric]
            low, high = percentile_interval(draws[arm, metric])
            scores.append(Score(arm=arm, metric=metric, value=value, low=low, high=high, images=learned))
    told = ImageScores(tuple(scores), draws)
    comparisons = [one for metric in METRICS for one in told.compared(metric, fraction=ALL)]
    ours = told.find("pretrained", METRICS[0])
    assert ours is not None  # noqa: S101 (scored above)
    changed = differing(options)
    changed.get("training", {}).pop("workers", None)  # how many read images shapes nothing
    result = Result(
        task="detect",
        label="objects",
        kind="objects",
        scores=tuple(scores),
        train_images=len(objects.train),
        test_images=len(objects.test),
        train_patients=0,
        test_patients=0,
        protocol="images",
        settings={
            "training": options.training.model_dump(mode="json"),
            "precision": options.precision,
            "seed": options.seed,
            "bootstrap": options.bootstrap,
            "sides": objects.sides,
            "classes": list(objects.classes),
            "objects": {side: sum(len(one.boxes) for one in getattr(objects, side)) for side in ("train", "test")},
            "backbone": backbone,
            "stores": [{"name": objects.folder.name, "fingerprint": objects.fingerprint}],
            "seen_in_pretraining": None,
            "changed": changed,
            "comparisons": comparisons,
            "notes": ["patients are not known: images were drawn, and one patient may be on both sides"],
        },
        verdict=f"objects: AP of boxes {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f}); "
        f"{told.stands(METRICS[0], ('random_init',))}.",
    )
    folder = result_folder(run, task="detect", label="objects", fingerprint=objects.fingerprint, changed=changed)
    write_result(folder, result, predictions=to_table(detected))
    return result
