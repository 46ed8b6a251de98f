from __future__ import annotations

import numpy as np

from vesalius.data.eight_bits import eight_bits


def test_sixteen_bits_keep_their_ends_and_eight_stay() -> None:
    assert eight_bits(np.array([0, 255, 256, 32768, 65535], np.uint16)).tolist() == [0, 0, 1, 128, 255]
    assert eight_bits(np.array([0, 7, 255], np.uint8)).tolist() == [0, 7, 255]
