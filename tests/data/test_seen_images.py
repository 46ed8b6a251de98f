"""What a run makes of a store, on disk: whole or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.data.seen_images import Answers, SeenImages, open_answers, open_seen, write_answers, write_seen
from vesalius.errors import RunError

SEEN = SeenImages(
    about={"heads": ["head 0"], "map": "pca"},
    features=np.ones((5, 3), dtype=np.float16),
    attention=np.arange(20, dtype=np.uint8).reshape(5, 1, 2, 2),
    places=np.zeros((5, 2), dtype=np.float32),
)


def test_read_as_it_was_written(tmp_path: Path) -> None:
    assert open_seen(tmp_path / "none", images=5) is None
    write_seen(tmp_path, SEEN)
    found = open_seen(tmp_path, images=5)
    assert found is not None
    assert found.about["heads"] == ["head 0"]
    for name in ("features", "attention", "places"):
        np.testing.assert_array_equal(getattr(found, name), getattr(SEEN, name))
    write_seen(tmp_path, replace(SEEN, attention=None))
    again = open_seen(tmp_path, images=5)
    assert again is not None
    assert again.attention is None


def test_answers_of_a_classifier_have_no_masks(tmp_path: Path) -> None:
    answers = Answers(about={"task": "finetune"}, rows=np.array([3, 1]), predicted=None, activation=None)
    write_answers(tmp_path, answers)
    found = open_answers(tmp_path)
    assert found is not None
    assert list(found.rows) == [3, 1]
    assert found.predicted is None


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    write_seen(tmp_path, SEEN)
    with pytest.raises(RunError, match="arrays of \\[5\\] images, expected 6"):
        open_seen(tmp_path, images=6)
    (tmp_path / "places.npy").write_bytes(b"cut")
    with pytest.raises(RunError, match=r"places\.npy: not readable"):
        open_seen(tmp_path, images=5)
    (tmp_path / "seen.json").write_text("{")
    with pytest.raises(RunError, match=r"seen\.json: not readable"):
        open_seen(tmp_path, images=5)
    (tmp_path / "seen.json").write_text('{"schema": 0}')  # of another layout: made anew
    assert open_seen(tmp_path, images=5) is None
