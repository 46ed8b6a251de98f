"""Training one segmentation network: image and mask are cropped, turned, flipped and bent together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.normalise import to_input
from vesalius.data.batches import ImagePool, step_seed
from vesalius.data.store import Store
from vesalius.evaluation.classifier import Setup
from vesalius.evaluation.learning_view import learning_view
from vesalius.evaluation.rounds import Fit, build_optimizer, optimizer_step, train_in_rounds
from vesalius.evaluation.segment_options import SegmentTraining
from vesalius.evaluation.segmentation_network import SegmentationNetwork
from vesalius.losses.dice_loss import dice_loss
from vesalius.seeding import seeded
from vesalius.views.geometry import map_to_view
from vesalius.views.make_views import make_views

__all__ = ["Masked", "bend", "fit_segmentation", "logits_of", "segmentation_loss"]

_KNOTS = 4
"""Places a side from which a bend is drawn; between them it is smooth."""


@dataclass(frozen=True, slots=True)
class Masked:
    """Images of one store with their masks.

    Attributes:
        store: Where they are.
        rows: Which.
        values: Of the parts in the label maps.
        void: Value of pixels of which nothing is known.
    """

    store: Store
    rows: npt.NDArray[np.int64]
    values: Sequence[int]
    void: int | None = None

    def parts(self, places: npt.NDArray[np.int64]) -> Float[Tensor, "images channels rows columns"]:
        """Return background, parts and, last, what is known, each 0 or 1."""
        labels = torch.from_numpy(self.store.masks[self.rows[places]].astype(np.int64))
        own = torch.stack([labels == value for value in self.values], dim=1).float()
        known = torch.ones_like(own[:, :1]) if self.void is None else (labels != self.void)[:, None].float()
        return torch.cat([known - own.sum(dim=1, keepdim=True), own, known], dim=1)


def fit_segmentation(
    network: SegmentationNetwork,
    train: Masked,
    options: SegmentTraining,
    *,
    lr: float,
    seed: int,
    setup: Setup,
    validate: Callable[[], tuple[float, float]],
    advance: Callable[[int], None] = lambda _: None,
) -> Fit:
    """Train a network and leave it with the weights of its best round, in evaluation mode.

    Every random number follows from seed and step.

    Args:
        network: Trained in place, on the device; its encoder stays as it is below `frozen_below` images.
        train: What it learns from.
        options: How.
        lr: Peak learning rate.
        seed: Of batches, views, bends and dropout.
        setup: Where and how large.
        validate: What rounds are chosen by, and the loss.
        advance: Told the steps that are done.

    Raises:
        EvaluationError: The loss is not finite.
    """
    frozen = len(train.rows) < options.frozen_below
    network.backbone.requires_grad_(not frozen)
    optimizer = build_optimizer(network, network.backbone, options)
    plan = learning_view(options, setup.image_size, gamma=options.intensity)
    about = network.backbone.preprocessing
    pool = ImagePool([(train.store, train.rows)])

    def take(places: npt.NDArray[np.int64], step: int, rate: float) -> None:
        network.train()
        network.backbone.train(not frozen)  # a frozen encoder keeps its statistics as well
        with seeded(step_seed(seed, step), setup.device) as generator:
            images = pool.gather(places)
            view = make_views(images, plan, generator, out_channels=about.in_chans, mean=about.mean, std=about.std)[0]
            pixels, target = bend(view.pixels, map_to_view(train.parts(places), view), options.elastic, generator)
            pixels, target = pixels.to(setup.device), target.to(setup.device)
            with torch.autocast(setup.device.type, dtype=torch.bfloat16, enabled=setup.bf16):
                logits = network(pixels)
            loss = segmentation_loss(logits.float(), target, options.loss)
            optimizer_step(optimizer, loss, lr=rate, task="segment")

    return train_in_rounds(
        network, len(train.rows), options, lr=lr, seed=seed, take=take, validate=validate, advance=advance
    )


def segmentation_loss(
    logits: Float[Tensor, "batch classes rows columns"],
    target: Float[Tensor, "batch channels rows columns"],
    kind: str,
) -> Float[Tensor, ""]:
    """Cross-entropy, soft Dice of the parts, or their sum; what is not known (the last channel) counts in neither."""
    shares, known = target[:, :-1].clamp(0, 1), target[:, -1:].clamp(0, 1)
    total = logits.new_zeros(())
    if kind != "dice":
        each = functional.cross_entropy(logits, shares, reduction="none")
        total = total + each.sum() / known.sum().clamp_min(1)
    if kind != "cross_entropy":
        total = total + dice_loss(logits.softmax(dim=1)[:, 1:] * known, shares[:, 1:])
    return total


def bend(
    pixels: Float[Tensor, "batch channels rows columns"],
    target: Float[Tensor, "batch parts rows columns"],
    strength: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch channels rows columns"], Float[Tensor, "batch parts rows columns"]]:
    """Bend images and their masks alike, each image by a field of its own (Simard 2003); outside is the edge's.

    Args:
        pixels: Images.
        target: What belongs to them.
        strength: Standard deviation of the displacement at its knots, as a share of the side.
        generator: On the CPU.
    """
    if strength == 0.0:
        return pixels, target
    batch, _, rows, columns = pixels.shape
    knots = torch.randn(batch, 2, _KNOTS, _KNOTS, generator=generator) * (2 * strength)  # a side is 2 long there
    field = functional.interpolate(knots, size=(rows, columns), mode="bicubic", align_corners=True)
    still = functional.affine_grid(
        torch.eye(2, 3).expand(batch, -1, -1), [batch, 1, rows, columns], align_corners=False
    )
    both = torch.cat([pixels, target], dim=1)
    moved = functional.grid_sample(both, still + field.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    return moved[:, : pixels.shape[1]], moved[:, pixels.shape[1] :]


@torch.no_grad()
def logits_of(
    network: SegmentationNetwork, images: npt.NDArray[np.generic], setup: Setup
) -> Float[Tensor, "images classes rows columns"]:
    """Return logits of whole stored images at the input's size, float32 on the CPU."""
    network.eval()
    inputs = to_input(images, network.backbone, setup.device, (setup.image_size, setup.image_size))
    with torch.autocast(setup.device.type, dtype=torch.bfloat16, enabled=setup.bf16):
        logits: Tensor = network(inputs)
    return logits.float().cpu()
