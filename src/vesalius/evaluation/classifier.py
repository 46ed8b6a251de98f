"""A classifier on a backbone: what it learns from, its loss, and its scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.backbones.normalise import to_input
from vesalius.data.store import Store
from vesalius.evaluation.metrics import compute_metrics

__all__ = ["Classifier", "Labelled", "Setup", "loss_of", "scores_of", "targets_of", "validate"]

_SCORED_AT_A_TIME = 128


class Classifier(nn.Module):
    """A backbone and one linear layer on its pooled features."""

    def __init__(self, backbone: Backbone, columns: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.feature_dim, columns)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch columns"]:
        """Compute logits, one column a class or label."""
        logits: Tensor = self.head(self.backbone(pixels))
        return logits


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images of one store and what is known of them.

    Attributes:
        store: Where the images are.
        rows: Which.
        labels: Class index of each, or 0/1/NaN a label for `multilabel`.
        kind: Kind of the label.
        columns: Classes, or labels.
    """

    store: Store
    rows: Int[np.ndarray, " images"]
    labels: Num[np.ndarray, "images ..."]
    kind: str
    columns: int

    def some(self, places: Int[np.ndarray, " some"]) -> Labelled:
        """Return those at the places."""
        return Labelled(self.store, self.rows[places], self.labels[places], self.kind, self.columns)


@dataclass(frozen=True, slots=True)
class Setup:
    """Where and how large.

    Attributes:
        device: Where is computed.
        bf16: Autocast to bfloat16.
        image_size: Side of the input, px.
    """

    device: torch.device
    bf16: bool
    image_size: int


def scores_of(classifier: Classifier, images: Labelled, setup: Setup) -> Float[np.ndarray, "images columns"]:
    """Return probabilities of the whole images, as they are."""
    return _probabilities(_logits(classifier, images, setup), images.kind)


def _probabilities(logits: Float[Tensor, "images columns"], kind: str) -> Float[np.ndarray, "images columns"]:
    scores = logits.sigmoid() if kind == "multilabel" else logits.softmax(dim=1)
    return np.asarray(scores.double().numpy())


@torch.no_grad()
def _logits(classifier: Classifier, images: Labelled, setup: Setup) -> Float[Tensor, "images columns"]:
    classifier.eval()
    parts = []
    for start in range(0, len(images.rows), _SCORED_AT_A_TIME):
        pixels = images.store.images[images.rows[start : start + _SCORED_AT_A_TIME]]
        inputs = to_input(pixels, classifier.backbone, setup.device, (setup.image_size, setup.image_size))
        with torch.autocast(setup.device.type, dtype=torch.bfloat16, enabled=setup.bf16):
            parts.append(classifier(inputs).float().cpu())
    return torch.cat(parts)


def validate(classifier: Classifier, images: Labelled, setup: Setup, metric: str = "roc_auc") -> tuple[float, float]:
    """Return a metric (NaN where it is not defined) and the loss."""
    logits = _logits(classifier, images, setup)
    loss = float(loss_of(logits, targets_of(images), images.kind, None))
    scores = _probabilities(logits, images.kind)
    found, _ = compute_metrics(images.labels, scores, kind=images.kind, metrics=[metric])
    return found[metric], loss


def loss_of(logits: Tensor, targets: Tensor, kind: str, weights: Tensor | None) -> Tensor:
    """Cross-entropy over classes; a yes or no a label for `multilabel`, labels that are not known left out."""
    if kind != "multilabel":
        return functional.cross_entropy(logits, targets, weight=weights)
    known = ~targets.isnan()
    each = functional.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num(0.0), pos_weight=weights, reduction="none"
    )
    return (each * known).sum() / known.sum().clamp_min(1)


def targets_of(images: Labelled) -> Tensor:
    """Return the labels as the loss takes them."""
    many = images.kind == "multilabel"
    return torch.from_numpy(np.asarray(images.labels, dtype=np.float32 if many else np.int64))
