"""How large a stored pixel is."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from vesalius.data.store import Store

__all__ = ["pixel_size"]


def pixel_size(store: Store, rows: npt.NDArray[np.int64]) -> tuple[Float[np.ndarray, "images 2"], Literal["mm", "px"]]:
    """Return the (row, column) size of a stored pixel of every image, in mm where all of them tell theirs."""
    table = store.manifest.iloc[rows]
    scale = table[["scale_y", "scale_x"]].to_numpy(float)
    spacing = table[["spacing_y_mm", "spacing_x_mm"]].to_numpy(float)
    return (scale * spacing, "mm") if np.isfinite(spacing).all() else (np.ones_like(scale), "px")
