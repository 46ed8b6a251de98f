from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesalius.data.read import count_frames, read_image, sniff
from vesalius.errors import UnreadableImageError


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4096, (2048, 2048)).astype(">u2")


def test_jsrt(tmp_path: Path, stored: np.ndarray) -> None:
    path = tmp_path / "JPCLN001.IMG"
    path.write_bytes(stored.tobytes())
    assert sniff(path) == "jsrt"
    assert count_frames(path) == 1
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, 4095 - stored.astype(int))
    assert (image.bits, image.inverted, image.spacing_mm) == (12, True, (0.175, 0.175))
    assert (image.window.low, image.window.high, image.window.source) == (0, 4095, "bits")


def test_other_sizes_and_values_are_refused(tmp_path: Path, stored: np.ndarray) -> None:
    path = tmp_path / "a.IMG"
    path.write_bytes(stored.tobytes()[:-2])
    with pytest.raises(UnreadableImageError, match="not an image"):
        read_image(path)
    with pytest.raises(UnreadableImageError, match="8388606 bytes instead of 8388608"):
        read_image(path, format="jsrt")
    stored[5, 5] = 60000
    path.write_bytes(stored.tobytes())
    with pytest.raises(UnreadableImageError, match="exceeds 12 bits"):
        read_image(path)
