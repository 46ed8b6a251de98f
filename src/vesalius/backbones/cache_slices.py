"""How many images at a time a ViT computes on a CPU, so that a layer finds in the cache what the last one wrote."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["rows_in_cache"]

LARGEST_BYTES = 16 * 2**20
"""Of one activation: half of the 32 MB of cache that the cores of a server share (docs/LOG.md)."""

_MLP_RATIO = 4


def rows_in_cache(model: Any, x: Tensor) -> int:
    """Return the images of a slice of `x` whose largest activation stays in the cache; all of them where none is cut.

    Slices are as even as they can be. Only ViTs on a CPU are cut: nothing in them looks across the batch, so slices
    give what the batch gives. Networks with batch normalisation are left whole.

    Args:
        model: A timm model.
        x: Its input, `[batch, channels, height, width]`.
    """
    embedding: Any = getattr(model, "patch_embed", None)
    if x.device.type != "cpu" or embedding is None or not hasattr(model, "cls_token"):
        return len(x)
    rows, columns = embedding.patch_size
    tokens = -(-x.shape[2] // rows) * -(-x.shape[3] // columns)
    autocast = torch.is_autocast_enabled("cpu")
    size = torch.get_autocast_dtype("cpu").itemsize if autocast else x.element_size()
    fitting = max(1, int(LARGEST_BYTES // (tokens * _MLP_RATIO * model.num_features * size)))
    if fitting >= len(x) or any(isinstance(module, _BatchNorm) for module in model.modules()):
        return len(x)
    return -(-len(x) // -(-len(x) // fitting))
