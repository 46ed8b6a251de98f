"""Detection: how well a backbone serves Mask R-CNN on images with boxes and outlines, beside its untrained twin."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
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
from vesalius.evaluation.average_precision import check_installed
from vesalius.evaluation.coco_objects import ObjectSet, read_objects
from vesalius.evaluation.coco_tables import ObjectImage
from vesalius.evaluation.detection_network import detection_network
from vesalius.evaluation.detection_options import DetectOptions
from vesalius.evaluation.detection_scores import Detected, score_detections
from vesalius.evaluation.features import autocast_bf16, backbone_fingerprint
from vesalius.evaluation.fit_detection import detections_of, fit_detection
from vesalius.evaluation.kept_arrays import digest_of, kept_arrays
from vesalius.evaluation.label_amounts import draw_label_amounts
from vesalius.evaluation.untrained_twin import TWIN_SEED, random_twin
from vesalius.progress import bar, say
from vesalius.records.result import Result
from vesalius.seeding import seeded
from vesalius.training.run_folder import RunFolder

__all__ = ["ImageDraw", "detect_cost", "draw_images", "evaluate_detect"]

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

    Both are trained alike, whole, by the same schedule, on the same draws of labelled images; the weights at its end
    are scored. Batch norms learn with the batch. Intervals are of the scored patients, drawn anew, where the tables
    tell them, else of the images; draws of labels are pooled.

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
        LabelError: No object to learn from, or to score; more images asked for than there are.
        SplitError: Too few images or patients, or the same patient or file on both sides.
        BackboneError: A backbone without maps at strides 4 to 32.
        ConfigError: pycocotools is not installed; unknown precision.
        EvaluationError: The loss of a training is not finite.
    """
    check_installed()
    objects = read_objects(folder, seed=options.seed)
    backbone = load_backbone(RunFolder(run).backbone)
    where = choose_device(device)
    twin = random_twin(backbone, seed=TWIN_SEED + options.seed)
    training, draws = _Training(objects, options, where, (cache or run) / "detected"), draw_images(objects, options)
    networks = {"pretrained": backbone, "random_init": twin}
    steps = training.steps(draws)
    left = training.steps([one for one in draws for network in networks.values() if not training.kept(network, one)])
    if progress and left:
        seconds = training.seconds_a_step(backbone)
        cost = f"{left:,} steps of {2 * len(draws)} trainings, {seconds:.2f} s each: {left * seconds / 60:.0f} minutes"
        say(f"detect: {cost}; what is done stays done", show=True)
    with bar("detect", 2 * (steps + len(draws) * len(objects.test)), show=progress) as advance:
        detected = [
            Detected(arm, draw.fraction, draw.seed, len(draw.images), training.detections(one, draw, advance))
            for arm, one in networks.items()
            for draw in draws
        ]
    return score_detections(run, objects, options, detected, backbone.name)


def detect_cost(
    backbone: Backbone, folder: Path, *, options: DetectOptions, device: str = "auto"
) -> tuple[int, Callable[[], float]]:
    """Return how many steps the trainings of one backbone have, and what times one, in seconds, on a copy.

    Raises:
        See `evaluate_detect`.
    """
    objects = read_objects(folder, seed=options.seed)
    training = _Training(objects, options, choose_device(device), Path())
    return training.steps(draw_images(objects, options)), partial(training.seconds_a_step, backbone)


@dataclass(frozen=True, slots=True)
class ImageDraw:
    """The images that one training learns from.

    Attributes:
        fraction: The amount of them.
        seed: Of the draw, and of the training.
        images: Which.
    """

    fraction: float
    seed: int
    images: tuple[ObjectImage, ...]


def draw_images(objects: ObjectSet, options: DetectOptions) -> list[ImageDraw]:
    """Draw images for every amount and seed, by patient where they are known, a smaller draw within a larger one.

    Classes are not spread.

    Raises:
        LabelError: More images are asked for than there are.
    """
    units = np.array([str(one.patient if objects.by_patient else one.number) for one in objects.train])
    nothing = np.zeros(len(units), dtype=np.int64)
    return [
        ImageDraw(fraction, seed, tuple(objects.train[place] for place in places))
        for seed in range(options.seeds)
        for fraction, places in draw_label_amounts(
            units, nothing, fractions=options.fractions, seed=options.seed + seed
        ).items()
    ]


@dataclass(frozen=True, slots=True)
class _Training:
    """What trains networks on one set."""

    objects: ObjectSet
    options: DetectOptions
    device: torch.device
    folder: Path

    def steps(self, draws: Sequence[ImageDraw]) -> int:
        """Return how many steps trainings on some draws have."""
        return sum(self.options.training.steps_of(len(one.images)) for one in draws)

    def detections(self, backbone: Backbone, draw: ImageDraw, advance: Callable[[int], None]) -> list[dict[str, Any]]:
        """Return what a network on this backbone detects, from the folder or trained now."""
        options, objects = self.options, self.objects
        file, seed = self._file(backbone, draw), options.seed + draw.seed
        checkpoint = file.with_suffix(".ckpt")

        def found() -> dict[str, npt.NDArray[Any]]:
            network = self._network(backbone, seed)
            channels = backbone.preprocessing.in_chans
            where: dict[str, Any] = {"channels": channels, "device": self.device, "advance": advance}
            fit_detection(network, draw.images, options.training, seed=seed, checkpoint=checkpoint, **where)
            text = json.dumps(detections_of(network, objects, **where))
            return {"detections": np.frombuffer(text.encode(), dtype=np.uint8)}

        kept = kept_arrays(file, found, found=lambda: advance(self.steps([draw]) + len(objects.test)))
        checkpoint.unlink(missing_ok=True)
        return list(json.loads(kept["detections"].tobytes().decode()))

    def kept(self, backbone: Backbone, draw: ImageDraw) -> bool:
        """Say whether it was done before."""
        return self._file(backbone, draw).is_file()

    def _file(self, backbone: Backbone, draw: ImageDraw) -> Path:
        """Return where is kept what a network on this backbone detects."""
        options = self.options
        how, seed = sorted(options.training.model_dump(exclude={"workers"}).items()), options.seed + draw.seed
        what = [_LAYOUT, backbone_fingerprint(backbone), self.objects.fingerprint, seed, how, self._bf16]
        return self.folder / f"{digest_of([*what, [one.number for one in draw.images]])}.npz"

    def seconds_a_step(self, backbone: Backbone) -> float:
        """Time a few steps on a copy that is thrown away."""
        seconds = []
        few = self.options.training.model_copy(update={"steps": 1, "lr": 1e-9})
        network = self._network(backbone, 0)
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

    def _network(self, backbone: Backbone, seed: int) -> nn.Module:
        side = self.options.training.size
        with seeded(seed, self.device):
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
