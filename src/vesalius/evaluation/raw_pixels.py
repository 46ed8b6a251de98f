"""The baseline that needs no learning: each image shrunk to 32 x 32 pixels by area averaging."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int, Num

from vesalius.data.store import Store

__all__ = ["area_weights", "pixel_features", "shrink"]

_CHUNK = 256


def pixel_features(store: Store, rows: Int[np.ndarray, " rows"], *, side: int = 32) -> Float[np.ndarray, "rows _"]:
    """Return the shrunk pixels of the rows as features in [0, 1], `side * side` a channel."""
    parts = [shrink(images, side=side) for images in _chunks(store, rows)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts])


def shrink(images: Num[np.ndarray, "images height width *colour"], *, side: int) -> Float[np.ndarray, "images ..."]:
    """Average integer pixels over a `side` x `side` grid of equal areas; full scale of the dtype becomes 1."""
    down = area_weights(images.shape[1], side)
    across = area_weights(images.shape[2], side)
    scaled = images.astype(np.float32) / np.float32(np.iinfo(images.dtype).max)
    return np.asarray(np.einsum("sh,nhw...,tw->nst...", down, scaled, across, optimize=True), dtype=np.float32)


def area_weights(size: int, side: int) -> Float[np.ndarray, "side size"]:
    """Return which share of each of `side` equal bins every pixel of a line of `size` covers; rows sum to 1."""
    edges = np.arange(side + 1) * (size / side)
    start, pixel = edges[:-1, None], np.arange(size)[None, :]
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(start, pixel)
    return np.asarray(np.clip(overlap, 0.0, None) * (side / size), dtype=np.float32)


def _chunks(store: Store, rows: Int[np.ndarray, " rows"]) -> Iterator[npt.NDArray[Any]]:
    for start in range(0, len(rows), _CHUNK):
        yield store.images[rows[start : start + _CHUNK]]
