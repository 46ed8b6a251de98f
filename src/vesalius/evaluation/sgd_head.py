"""Linear probe as DINO trains it: one linear layer on frozen features, 100 epochs of SGD, no augmentation.

Paper: Caron et al. 2021, appendix F.2: SGD, momentum 0.9, no weight decay, learning rate 0.001 x batch / 256, cosine to
0 over 100 epochs, weights from N(0, 0.01), biases 0. Two things differ and are meant: features are extracted once (the
authors crop and flip anew each epoch), and they are standardised, so that arms of different scale (raw pixels, an
untrained backbone) are given the same chance at the same learning rate.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.nn import functional

from vesalius.evaluation.linear import standardise

__all__ = ["sgd_scores"]


def sgd_scores(
    train_features: Num[np.ndarray, "train dim"],
    train_labels: Num[np.ndarray, "train ..."],
    test_features: Num[np.ndarray, "test dim"],
    *,
    kind: str = "multiclass",
    classes: int = 2,
    epochs: int = 100,
    base_lr: float = 1e-3,
    batch_size: int = 256,
    seed: int = 0,
) -> Float[np.ndarray, "test columns"]:
    """Train the head and return test probabilities.

    Args:
        train_features: Features of the training side.
        train_labels: Class index, or 0/1/NaN a label for `multilabel` (NaN takes no part in the loss).
        test_features: Features to classify.
        kind: `binary`, `multiclass`, `ordinal` or `multilabel`.
        classes: Number of classes (not used for `multilabel`).
        epochs: Passes over the training side.
        base_lr: Learning rate at a batch of 256; scaled linearly with the batch.
        batch_size: Images a step, cut to the size of the training side.
        seed: Of the initial weights and of the order.
    """
    train, test = (torch.from_numpy(side) for side in standardise(train_features, test_features))
    many = kind == "multilabel"
    target = torch.from_numpy(np.asarray(train_labels, dtype=np.float32 if many else np.int64))
    generator = torch.Generator().manual_seed(seed)
    columns = target.shape[1] if many else classes
    weight = (0.01 * torch.randn(columns, train.shape[1], generator=generator)).requires_grad_()
    bias = torch.zeros(columns, requires_grad=True)
    batch_size = min(batch_size, len(train))
    steps = epochs * math.ceil(len(train) / batch_size)
    optimizer = torch.optim.SGD([weight, bias], lr=base_lr * batch_size / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(train), generator=generator), batch_size):
            loss = _loss(functional.linear(train[rows], weight, bias), target[rows], many)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        logits = functional.linear(test, weight, bias)
        scores = logits.sigmoid() if many else logits.softmax(dim=1)
    return np.asarray(scores.double().numpy())


def _loss(logits: Float[Tensor, "batch columns"], target: Tensor, many: bool) -> Float[Tensor, ""]:
    if not many:
        return functional.cross_entropy(logits, target)
    known = ~target.isnan()
    each = functional.binary_cross_entropy_with_logits(logits, target.nan_to_num(), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
