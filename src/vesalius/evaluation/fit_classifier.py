"""Fine-tuning one classifier: all of it learns, in rounds chosen by images held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from vesalius.data.batches import ImagePool, step_seed
from vesalius.evaluation.classifier import Classifier, Labelled, Setup, loss_of, targets_of, validate
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.learning_view import learning_view
from vesalius.evaluation.rounds import Fit, build_optimizer, optimizer_step, train_in_rounds
from vesalius.seeding import seeded
from vesalius.views.make_views import make_views
from vesalius.views.plans import ViewPlan

__all__ = ["finetune_plan", "fit_classifier", "training_step"]


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
        classifier: Trained in place, on the device; its backbone stays as it is below `frozen_below` images.
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
    frozen = len(train.rows) < options.frozen_below
    classifier.backbone.requires_grad_(not frozen)
    optimizer = build_optimizer(classifier, classifier.backbone, options)
    weights = _class_weights(train).to(setup.device) if options.class_weights else None
    plan = finetune_plan(options, setup.image_size)

    def take(places: npt.NDArray[np.int64], step: int, rate: float) -> None:
        with seeded(step_seed(seed, step), setup.device) as generator:
            training_step(
                classifier, optimizer, train.some(places), plan, generator, lr=rate, weights=weights, setup=setup
            )

    return train_in_rounds(
        classifier,
        len(train.rows),
        options,
        lr=lr,
        seed=seed,
        take=take,
        validate=lambda: validate(classifier, validation, setup, options.select),
        advance=advance,
    )


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
    classifier.backbone.train(any(one.requires_grad for one in classifier.backbone.parameters()))
    with torch.autocast(setup.device.type, dtype=torch.bfloat16, enabled=setup.bf16):
        logits = classifier(view.pixels)
    loss = loss_of(logits.float(), targets_of(batch).to(setup.device), batch.kind, weights)
    optimizer_step(optimizer, loss, lr=lr, task="fine-tuning")


def _class_weights(train: Labelled) -> Float[Tensor, " columns"]:
    """Return the inverse of how often each class occurs (mean 1 over images), of labels: negatives a positive."""
    if train.kind == "multilabel":
        positive = np.nansum(train.labels, axis=0)
        negative = (~np.isnan(train.labels)).sum(axis=0) - positive
        return torch.from_numpy((negative / np.maximum(positive, 1)).astype(np.float32))
    counts = np.bincount(train.labels.astype(int), minlength=train.columns)
    return torch.from_numpy((len(train.labels) / (train.columns * np.maximum(counts, 1))).astype(np.float32))


def finetune_plan(options: FinetuneOptions, image_size: int) -> ViewPlan:
    """Return the view learned from."""
    return learning_view(options, image_size, saturation=0.1, hue=options.hue)
