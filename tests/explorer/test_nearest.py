"""Nearest images by cosine."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vesalius.explorer.nearest import nearest_images


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 10_000))
def test_as_a_whole_sort_would_give(images: int, count: int, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(images, 6))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float16)
    row = seed % images
    found = nearest_images(features, row, count)
    similarity = features.astype(np.float32) @ features[row].astype(np.float32)
    others = [one for one in np.lexsort((np.arange(images), -similarity)) if one != row]
    assert [one for one, _ in found] == [int(one) for one in others[:count]] or len(set(similarity)) < images
    assert len(found) == min(count, images - 1)
    assert all(one != row for one, _ in found)
