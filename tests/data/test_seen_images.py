"""What a run makes of a store, on disk: whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesalius.data.seen_images import open_answers, open_seen, write_answers, write_seen
from vesalius.errors import RunError

ABOUT = {"heads": ["head 0"], "map": "pca"}
PLACES = np.arange(10, dtype=np.float32).reshape(5, 2)


def parts(folder: Path, **arrays: np.ndarray) -> list[Path]:
    """The arrays in files of three and two rows."""
    folder.mkdir()
    files = []
    for start, end in ((0, 3), (3, 5)):
        files.append(folder / f"{start}.npz")
        np.savez(files[-1], **{name: array[start:end] for name, array in arrays.items()})
    return files


def test_read_as_it_was_written(tmp_path: Path) -> None:
    features = np.arange(15, dtype=np.float16).reshape(5, 3)
    attention = np.arange(20, dtype=np.uint8).reshape(5, 1, 2, 2)
    seen = tmp_path / "seen"
    assert open_seen(seen, images=5) is None
    write_seen(seen, ABOUT, PLACES, parts=parts(tmp_path / "parts", features=features, attention=attention))
    found = open_seen(seen, images=5)
    assert found is not None
    assert found.about["heads"] == ["head 0"]
    np.testing.assert_array_equal(found.features, features)
    np.testing.assert_array_equal(found.attention, attention)
    np.testing.assert_array_equal(found.places, PLACES)
    write_seen(seen, ABOUT | {"map": "umap"}, PLACES + 1)  # another map beside it
    other = open_seen(seen, images=5)
    assert other is not None
    np.testing.assert_array_equal(other.places, PLACES + 1)
    np.testing.assert_array_equal(other.features, features)
    write_seen(seen, ABOUT, PLACES)
    assert sorted(path.name for path in seen.glob("*.npy")) == [
        "attention.npy", "features.npy", "places-pca.npy", "places-umap.npy",
    ]  # fmt: skip


def test_answers_of_a_classifier_have_no_masks(tmp_path: Path) -> None:
    rows = np.array([3, 1, 0, 2, 4])
    write_answers(tmp_path / "a", {"task": "finetune"}, parts=parts(tmp_path / "parts", rows=rows))
    found = open_answers(tmp_path / "a")
    assert found is not None
    assert list(found.rows) == [3, 1, 0, 2, 4]
    assert found.predicted is None


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    files = parts(tmp_path / "parts", features=np.ones((5, 3), dtype=np.float16))
    write_seen(tmp_path, ABOUT, PLACES, parts=files)
    with pytest.raises(RunError, match="arrays of \\[5\\] images, expected 6"):
        open_seen(tmp_path, images=6)
    (tmp_path / "places-pca.npy").write_bytes(b"cut")
    with pytest.raises(RunError, match=r"places-pca\.npy: not readable"):
        open_seen(tmp_path, images=5)
    (tmp_path / "seen.json").write_text("{")
    with pytest.raises(RunError, match=r"seen\.json: not readable"):
        open_seen(tmp_path, images=5)
    (tmp_path / "seen.json").write_text('{"schema": 0}')  # of another layout: made anew
    assert open_seen(tmp_path, images=5) is None
