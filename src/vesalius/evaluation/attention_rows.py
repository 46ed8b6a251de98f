"""Where the heads of a store's images look: [CLS] attention over the patch grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.evaluation.features import autocast_bf16, to_input
from vesalius.interpret.attention_maps import attention_maps

__all__ = ["attention_rows"]


@torch.inference_mode()
def attention_rows(
    backbone: Backbone,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    *,
    image_size: int | None = None,
    precision: str = "auto",
    batch_size: int = 64,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> Float[Tensor, "images heads down across"]:
    """Compute every head's [CLS] attention over the patch grid, each map summing to 1."""
    where = choose_device(device)
    size = backbone.preprocessing.image_size if image_size is None else (image_size,) * 2
    half = autocast_bf16(precision, where)
    backbone = backbone.to(where).eval()
    parts = []
    for start in range(0, len(rows), batch_size):
        inputs = to_input(store.images[rows[start : start + batch_size]], backbone, where, size)
        with torch.autocast(where.type, dtype=torch.bfloat16, enabled=half):
            features = backbone.forward_features(inputs, patches=False, attention=True)
        assert features.attention is not None  # noqa: S101 (asked for)
        parts.append(attention_maps(features.attention.float().cpu(), features.grid))
        advance(len(inputs))
    return torch.cat(parts)
