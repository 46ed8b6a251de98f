"""The same architecture with random weights, put in a state that makes it a fair baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vesalius.backbones.interface import Backbone
from vesalius.backbones.normalise import to_input
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.training.run_folder import RunFolder

__all__ = [
    "CALIBRATION_IMAGES",
    "TWIN_SEED",
    "calibrate_batch_norm",
    "has_batch_norm",
    "random_twin",
    "untrained_arms",
]

CALIBRATION_IMAGES = 256
TWIN_SEED = 1_000_003
"""Far from the small seeds of runs: a twin must not start from the very weights that a run started from."""

_BATCH = 64


def untrained_arms(run: Path) -> frozenset[str]:
    """Return the arms of random weights: the twin, and a run's own that took no step from such."""
    return frozenset({"random_init", *(["pretrained"] if RunFolder(run).as_initialised else [])})


def random_twin(backbone: Backbone, *, seed: int) -> Backbone:
    """Build the same architecture with random weights; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return backbone.twin().eval()


def has_batch_norm(backbone: nn.Module) -> bool:
    """Say whether a network normalises by running statistics."""
    return any(isinstance(module, _BatchNorm) for module in backbone.modules())


def calibrate_batch_norm(
    twin: Backbone,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    *,
    image_size: int | None = None,
    device: str = "auto",
) -> Backbone:
    """Give an untrained network the batch-norm statistics of its own activations; one without batch norm is left.

    At init the running statistics are mean 0 and variance 1, which fit no activation, and timm starts the last batch
    norm of each residual branch with scale 0, which switches the branch off. Scored so, an untrained ResNet would be
    weaker than its architecture. Here the scales of 0 become 1, and the statistics are averaged over batches of up to
    `CALIBRATION_IMAGES` images, evenly over the rows, without gradients, labels or random draws.

    Args:
        twin: Changed in place, left in evaluation mode.
        store: Where the images are.
        rows: Rows that a probe may learn from.
        image_size: Side of the input; by default the size that belongs to the weights.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """
    norms = [module for module in twin.eval().modules() if isinstance(module, _BatchNorm)]
    if not norms or not len(rows):
        return twin
    where = choose_device(device)
    size = twin.preprocessing.image_size if image_size is None else (image_size, image_size)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, CALIBRATION_IMAGES).astype(np.int64))]
    momenta = [norm.momentum for norm in norms]
    twin.to(where)
    for norm in norms:
        if norm.affine and not norm.weight.any():
            nn.init.ones_(norm.weight)
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over all batches
        norm.train()
    with torch.no_grad():
        for batch in np.array_split(chosen, -(-len(chosen) // _BATCH)):
            twin.forward_features(to_input(store.images[batch], twin, where, size))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return twin.eval()
