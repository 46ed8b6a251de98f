"""Training a segmenter on labelled images: a small loop of its own, resumable and the same every time."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from vesalius.atomic import replacing
from vesalius.config import StrictModel
from vesalius.data.batches import step_seed
from vesalius.data.pool_record import write_pool
from vesalius.errors import KnowledgeError, TrainingError
from vesalius.guidance.labelled_images import LabelledImages
from vesalius.guidance.segmenter_scores import held_out_dice, least_area
from vesalius.guidance.segmenters import SEGMENTERS, build_segmenter
from vesalius.guidance.trained_segmenter import (
    ABOUT,
    MEAN,
    STD,
    TrainedSegmenter,
    read_segmenter,
    write_segmenter,
)
from vesalius.losses.dice_loss import dice_loss
from vesalius.schedules import Progress, warmup_cosine
from vesalius.seeding import seeded
from vesalius.views.geometry import map_to_view
from vesalius.views.make_views import make_views
from vesalius.views.plans import ViewPlan, ViewSpec

__all__ = ["SegmenterOptions", "segmenter_plan", "train_segmenter"]

STRIDE = 32
"""Sides of the input are multiples of this: what most encoders shrink an image by."""

CHECKPOINT_SECONDS = 30.0
"""A checkpoint is written at the end of an epoch once so much time has passed since the last."""

LARGEST_MARGIN = 0.35
"""Of the image's side, to each of its four sides."""

WARMUP = 0.05
"""Share of the steps in which the learning rate rises."""


class SegmenterOptions(StrictModel):
    """How a segmenter is trained.

    Attributes:
        architecture: See `build_segmenter`.
        size: Side of the input, px, a multiple of 32.
        epochs: Passes over the labelled images.
        batch_size: Images a step; all of them where there are fewer.
        learning_rate: Of AdamW at its peak; falls in half a cosine.
        weight_decay: Of AdamW.
        seed: Of the weights, batches, views and the choice of the patients held out.
        pretrained: Begin with ImageNet weights, downloaded.
    """

    architecture: str = SEGMENTERS[0]
    size: int = Field(default=128, ge=STRIDE, multiple_of=STRIDE)
    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=8, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    seed: int = 0
    pretrained: bool = False


def segmenter_plan(labelled: LabelledImages, options: SegmenterOptions) -> dict[str, Any]:
    """Tell everything that shapes the weights; a folder of another plan is not gone on with."""
    told = {**options.model_dump(), "parts": list(labelled.names), "trained_on": labelled.description()}
    plan: dict[str, Any] = json.loads(json.dumps(told))
    return plan


def train_segmenter(
    labelled: LabelledImages,
    folder: Path,
    options: SegmenterOptions,
    *,
    device: str = "cpu",
    bf16: bool = False,
    resume: bool = True,
    advance: Callable[[int], None] = lambda _: None,
) -> TrainedSegmenter:
    """Train a segmenter, score it on the patients held out, and write it; one that is there already is returned.

    Cross-entropy and soft Dice (`dice_loss`), AdamW, one randomly cropped and turned view an image, its parts carried
    by the same affine. No mirroring: sides are the patient's. The weights after the last step are taken, so that the
    held-out patients choose nothing.

    Args:
        labelled: The images.
        folder: To write: weights, `segmenter.json`, `pool.parquet` (who it learned from, as hashed ids).
        options: How.
        device: Where.
        bf16: Autocast to bfloat16.
        resume: Go on with an interrupted training.
        advance: Told how many epochs are done, also those of the interrupted training.

    Raises:
        ConfigError: A segmenter that cannot be built.
        KnowledgeError: The folder holds a segmenter, or part of a training, of another plan.
        TrainingError: The loss is not finite.
    """
    plan = segmenter_plan(labelled, options)
    if (folder / ABOUT).is_file():
        there = read_segmenter(folder)
        _check_same(folder, dict(there.info["plan"]), plan)
        advance(options.epochs)
        return there
    training = _Training(labelled, options, plan, folder, torch.device(device), bf16=bf16)
    if resume:
        training.restore()
    elif training.checkpoint.is_file():
        training.checkpoint.unlink()
    advance(training.epoch)
    while training.epoch < options.epochs:
        training.run_epoch()
        advance(1)
    network = training.network.eval()
    info = {
        "architecture": options.architecture,
        "parts": list(labelled.names),
        "size": options.size,
        "preprocessing": {"fit": str(labelled.store.info["options"]["fit"])},
        "precision": "bf16" if bf16 else "fp32",
        "plan": plan,
        "trained_on": plan["trained_on"],
        "least_area": least_area(labelled),
        "validation": {"images": len(labelled.held_out), "dice": held_out_dice(network, labelled, side=options.size)},
    }
    write_pool(folder / "pool.parquet", [(labelled.store, np.sort(np.concatenate([labelled.rows, labelled.held_out])))])
    written = write_segmenter(folder, network, info)
    training.checkpoint.unlink(missing_ok=True)
    return written


class _Training:
    """Network and optimizer, and how far they are."""

    def __init__(
        self,
        labelled: LabelledImages,
        options: SegmenterOptions,
        plan: dict[str, Any],
        folder: Path,
        device: torch.device,
        *,
        bf16: bool,
    ) -> None:
        self.labelled, self.options, self.plan, self.device, self.bf16 = labelled, options, plan, device, bf16
        self.checkpoint = folder / "training.pt"
        self.epoch, self._saved = 0, time.monotonic()
        self.batch = min(options.batch_size, len(labelled.rows))
        self.steps = len(labelled.rows) // self.batch
        self.views = _views(options.size)
        with self._random(-1):
            network = build_segmenter(
                options.architecture, classes=len(labelled.names) + 1, pretrained=options.pretrained
            )
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )

    def run_epoch(self) -> None:
        """Take every step of an epoch; what is random in a step follows from seed and step alone."""
        order = np.random.default_rng([self.options.seed, 1, self.epoch]).permutation(self.labelled.rows)
        for place in range(self.steps):
            step = self.epoch * self.steps + place
            self._step(step, order[place * self.batch : (place + 1) * self.batch])
        self.epoch += 1
        if self.epoch < self.options.epochs and time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self._save()

    def restore(self) -> None:
        """Go on where the checkpoint stopped, if there is one.

        Raises:
            KnowledgeError: It is of another plan, or not readable.
        """
        if not self.checkpoint.is_file():
            return
        try:
            there = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            plan = json.loads(there["plan"])
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
            raise KnowledgeError(f"{self.checkpoint}: not readable ({error}); remove it, or use --no-resume") from error
        _check_same(self.checkpoint, plan, self.plan)
        self.network.load_state_dict(there["network"])
        self.optimizer.load_state_dict(there["optimizer"])
        self.epoch = int(there["epoch"])

    def _step(self, step: int, rows: npt.NDArray[np.int64]) -> None:
        progress = Progress(step=step, total_steps=self.options.epochs * self.steps, steps_per_epoch=self.steps)
        rate = warmup_cosine(
            self.options.learning_rate,
            0.0,
            progress,
            round(WARMUP * progress.total_steps),
            start=self.options.learning_rate / 10,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self._random(step) as generator:
            loss = self._loss(rows, generator)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"the segmenter's loss is {float(loss)} at step {step}; lower its learning rate")
        self.optimizer.step()

    def _loss(self, rows: npt.NDArray[np.int64], generator: torch.Generator) -> Float[Tensor, ""]:
        images, parts = self.labelled.read(rows)
        margin = [_margin(images.shape[2], generator)] * 4
        images, parts = functional.pad(images, margin), functional.pad(parts, margin)
        view = make_views(images, self.views, generator, mean=(MEAN,), std=(STD,))[0]
        target = map_to_view(parts, view).clamp_(0, 1).to(self.device)
        pixels = view.pixels.to(device=self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.network(pixels)
        logits = logits.float()
        background = (1 - target.sum(1, keepdim=True)).clamp_min(0)
        entropy = functional.cross_entropy(logits, torch.cat([background, target], 1))
        return entropy + dice_loss(logits.softmax(1)[:, 1:], target)

    def _random(self, step: int) -> AbstractContextManager[torch.Generator]:
        return seeded(step_seed(self.options.seed, step + 1), self.device)

    def _save(self) -> None:
        state = {
            "plan": json.dumps(self.plan),
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.checkpoint) as partial:
            torch.save(state, partial)
        self._saved = time.monotonic()


def _margin(side: int, generator: torch.Generator) -> int:
    """Draw a black margin for half of the batches: padded images of another store are smaller than those seen."""
    drawn, share = torch.rand(2, generator=generator).tolist()
    return round(LARGEST_MARGIN * share * side) if drawn < 0.5 else 0


def _views(size: int) -> ViewPlan:
    """Crops, turns and exposures that a radiograph of another hospital may have."""
    spec = ViewSpec(
        name="view", size=size, area=(0.6, 1.0), aspect=(0.85, 1.18), translation=0.1, rotation_p=0.5, rotation_deg=12,
        interpolation="bilinear", brightness=0.4, contrast=0.4, gamma=0.5, blur_p=0.2, blur_sigma=(0.1, 1.0),
    )  # fmt: skip
    return ViewPlan(name="segmenter", specs=(spec,), teacher_views=(0,))


def _check_same(path: Path, there: dict[str, Any], plan: dict[str, Any]) -> None:
    different = sorted(key for key in {*there, *plan} if there.get(key) != plan.get(key))
    if different:
        raise KnowledgeError(
            f"{path}: of a segmenter trained otherwise (different: {', '.join(different)}); choose another --out, use "
            "it as it is by --segmenter-weights, or remove it"
        )
