"""Where the heads of a store's images look: [CLS] attention over the patch grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.data.store import Store
from vesalius.evaluation.features import look_at
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
    how: dict[str, Any] = {"image_size": image_size, "batch_size": batch_size, "device": device}
    parts = []
    for features in look_at(backbone, store, rows, precision=precision, patches=False, attention=True, **how):
        assert features.attention is not None  # noqa: S101 (asked for)
        parts.append(attention_maps(features.attention.float().cpu(), features.grid))
        advance(len(parts[-1]))
    return torch.cat(parts)
