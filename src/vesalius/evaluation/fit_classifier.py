"""Fine-tuning one classifier: all of it learns, the rate falls where validation saturates, the best round is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from vesalius.data.batches import ImagePool, step_seed
from vesalius.errors import EvaluationError
from vesalius.evaluation.classifier import Classifier, Labelled, Setup, loss_of, targets_of, validate
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.seeding import seeded
from vesalius.views.make_views import make_views
from vesalius.views.plans import ViewPlan, ViewSpec

__all__ = ["Fit", "build_optimizer", "finetune_plan", "fit_classifier", "longest_steps", "training_step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How one training went.

    Attributes:
        lr: Its peak learning rate.
        value: The label's first metric on the images held out, in the best round.
        loss: Their loss in that round.
        best_round: From 1.
        rounds: How many were trained.
    """

    lr: float
    value: float
    loss: float
    best_round: int
    rounds: int

    @property
    def goodness(self) -> tuple[float, float]:
        """What fits are compared by: the metric, and where that is level the loss."""
        return (self.value if math.isfinite(self.value) else -math.inf, -self.loss)


def longest_steps(images: int, options: FinetuneOptions) -> int:
    """Return how many steps a training on so many images has at most."""
    return options.rounds * _steps_a_round(images, options)


def fit_classifier(
    classifier: Classifier,
    train: Labelled,
    validation: Labelled,
    options: FinetuneOptions,
    *,
    lr: float,
    seed: int,
    setup: Setup,
    advance: Callable[[int], None] = lambda _: None,
) -> Fit:
    """Train all of the classifier and leave it with the weights of its best round, in evaluation mode.

    Every random number follows from seed and step.

    Args:
        classifier: Trained in place, on the device.
        train: What it learns from.
        validation: What rounds are chosen by.
        options: How.
        lr: Peak learning rate.
        seed: Of batches, views and stochastic depth.
        setup: Where and how large.
        advance: Told the steps that are done; those of rounds that early stopping spared are told at the end.

    Raises:
        EvaluationError: The loss is not finite.
    """
    optimizer = build_optimizer(classifier, options)
    a_round, longest = _steps_a_round(len(train.rows), options), longest_steps(len(train.rows), options)
    warmup = min(options.warmup_steps, longest // 10)
    weights = _class_weights(train).to(setup.device) if options.class_weights else None
    plan, scale, waited = finetune_plan(options, setup.image_size), 1.0, 0
    best: Fit | None = None
    kept: dict[str, Tensor] = {}
    for number in range(options.rounds):
        for step in range(number * a_round, (number + 1) * a_round):
            rate = lr * scale * min(1.0, (step + 1) / max(1, warmup))
            batch = train.some(_batch(len(train.rows), options.batch_size, seed, step))
            with seeded(step_seed(seed, step), setup.device) as generator:
                training_step(classifier, optimizer, batch, plan, generator, lr=rate, weights=weights, setup=setup)
        advance(a_round)
        value, loss = validate(classifier, validation, setup)
        now = Fit(lr=lr, value=value, loss=loss, best_round=number + 1, rounds=number + 1)
        if best is None or now.goodness > best.goodness:
            best, waited = now, 0
            kept = {name: one.detach().clone() for name, one in classifier.state_dict().items()}
            continue
        waited += 1
        if waited >= options.patience:
            scale, waited = scale / 10, 0
            if lr * scale < options.min_lr * (1 - 1e-9):
                break
    advance(longest - (number + 1) * a_round)
    classifier.load_state_dict(kept)
    classifier.eval()
    assert best is not None  # noqa: S101 (there is a first round)
    return Fit(lr=lr, value=best.value, loss=best.loss, best_round=best.best_round, rounds=number + 1)


def training_step(
    classifier: Classifier,
    optimizer: Optimizer,
    batch: Labelled,
    plan: ViewPlan,
    generator: torch.Generator,
    *,
    lr: float,
    weights: Tensor | None,
    setup: Setup,
) -> None:
    """Take one step on one view of every image of a batch.

    Raises:
        EvaluationError: The loss is not finite.
    """
    about = classifier.backbone.preprocessing
    images = ImagePool([(batch.store, batch.rows)]).gather(np.arange(len(batch.rows))).to(setup.device)
    view = make_views(images, plan, generator, out_channels=about.in_chans, mean=about.mean, std=about.std)[0]
    classifier.train()
    with torch.autocast(setup.device.type, dtype=torch.bfloat16, enabled=setup.bf16):
        logits = classifier(view.pixels)
    loss = loss_of(logits.float(), targets_of(batch).to(setup.device), batch.kind, weights)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise EvaluationError(f"fine-tuning: the loss is {value} at a learning rate of {lr:g}; try a smaller one")
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _class_weights(train: Labelled) -> Float[Tensor, " columns"]:
    """Return the inverse of how often each class occurs (mean 1 over images), of labels: negatives a positive."""
    if train.kind == "multilabel":
        positive = np.nansum(train.labels, axis=0)
        negative = (~np.isnan(train.labels)).sum(axis=0) - positive
        return torch.from_numpy((negative / np.maximum(positive, 1)).astype(np.float32))
    counts = np.bincount(train.labels.astype(int), minlength=train.columns)
    return torch.from_numpy((len(train.labels) / (train.columns * np.maximum(counts, 1))).astype(np.float32))


def _batch(images: int, batch_size: int, seed: int, step: int) -> npt.NDArray[np.int64]:
    """Return the places of one step's images: every pass in another order, its ragged end left out."""
    size = min(batch_size, images)
    epoch, place = divmod(step, images // size)
    order = np.random.default_rng([seed, 2, epoch]).permutation(images)
    return order[place * size : (place + 1) * size]


def _steps_a_round(images: int, options: FinetuneOptions) -> int:
    return max(options.round_steps, images // min(options.batch_size, images))


def build_optimizer(classifier: Classifier, options: FinetuneOptions) -> Optimizer:
    """Build the optimizer; its rate is set at every step."""
    parameters: Any = [one for one in classifier.parameters() if one.requires_grad]
    if options.optimizer == "sgd":
        return SGD(parameters, lr=0.0, momentum=0.9, weight_decay=options.weight_decay, fused=True)
    kind = Adam if options.optimizer == "adam" else AdamW
    return kind(parameters, lr=0.0, weight_decay=options.weight_decay, fused=True)


def finetune_plan(options: FinetuneOptions, image_size: int) -> ViewPlan:
    """Return the view learned from: crops, small turns, another exposure."""
    spec = ViewSpec(
        name="view", size=image_size, area=(0.6, 1.0), aspect=(0.85, 1.18), flip_p=options.flip, rotation_p=0.5,
        rotation_deg=10, interpolation="bilinear", brightness=0.2, contrast=0.2, saturation=0.1,
    )  # fmt: skip
    return ViewPlan(name="finetune", specs=(spec,), teacher_views=(0,))
