"""A single file decoded as a store's files are, its own pixels kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.prepare import prepare
from vesalius.data.source_image import decode_options, read_source, reader_options
from vesalius.data.store import open_store
from vesalius.errors import UnreadableImageError


@pytest.mark.parametrize("options", [{}, {"fit": "crop", "bits": 16}, {"fit": "squash", "window": (50.0, 200.0)}])
def test_a_file_becomes_what_the_store_holds_of_it(tmp_path: Path, options) -> None:
    values = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for number in range(3):
        colour = values.integers(0, 256, (30, 50, 3) if number == 1 else (30, 50), dtype=np.uint8)
        Image.fromarray(colour).save(tmp_path / "scans" / f"{number}.png")
    prepare(tmp_path / "scans", tmp_path / "store", size=24, workers=1, progress=False, **options)
    store = open_store(tmp_path / "store")
    for row, name in enumerate(store.manifest["source"]):
        path = tmp_path / "scans" / name
        source = read_source(path, decode_options(store), reader=reader_options(store))
        assert np.array_equal(source.square, store.images[row])
        assert source.square.dtype == store.dtype
        assert source.sha256 == store.manifest["sha256"].iloc[row]
        corners = np.array([[0.0, 0.0], [24.0, 24.0], [3.0, 17.0]])
        ours = [source.placement.to_source(x, y) for x, y in corners.tolist()]
        np.testing.assert_allclose(ours, store.to_source(row, corners), rtol=1e-6)
        assert source.shape == (30, 50)
        if "window" not in options:
            assert np.array_equal(source.pixels, np.asarray(Image.open(path).convert("RGB")))


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    (tmp_path / "scans").mkdir()
    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(tmp_path / "scans" / "b.png")
    prepare(tmp_path / "scans", tmp_path / "store", size=24, workers=1, progress=False)
    with pytest.raises(UnreadableImageError, match=r"a\.png: not an image"):
        read_source(tmp_path / "a.png", decode_options(open_store(tmp_path / "store")))
