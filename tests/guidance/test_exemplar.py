"""Reading an exemplar as the store's images were read, and every way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.prepare_worker import DecodeOptions
from vesalius.errors import KnowledgeError
from vesalius.guidance.exemplar import Exemplar, read_exemplar

OPTIONS = DecodeOptions(size=32, bits=8, fit="pad", channels=1, window="auto")
VALUES = {"left": 1, "right": 2}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A picture of 48 x 64 pixels and its label map."""
    pixels = np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))
    labels = np.zeros((48, 64), dtype=np.uint8)
    labels[10:30, 5:25], labels[10:30, 40:60] = 2, 1
    Image.fromarray(pixels).save(tmp_path / "case001.png")
    Image.fromarray(labels).save(tmp_path / "case001_mask.png")
    return tmp_path / "case001.png", tmp_path / "case001_mask.png"


def read(image: Path, mask, values=VALUES) -> Exemplar:
    return read_exemplar(image, mask, values=values, options=OPTIONS)


def test_image_and_parts_share_the_stores_geometry(files) -> None:
    exemplar = read(*files)
    assert exemplar.image.shape == (1, 1, 32, 32)
    assert exemplar.parts.shape == (1, 2, 32, 32)
    assert exemplar.names == ("left", "right")
    # Padded to a square: the picture's 48 rows fill 24 of the 32, from row 4 on.
    assert float(exemplar.image[0, 0, :3].max()) == 0
    assert exemplar.parts[0, 0, :, :16].sum() == 0
    assert exemplar.parts[0, 1, :, 16:].sum() == 0
    assert float(exemplar.parts[0, 0].sum()) == pytest.approx(100, abs=15)


def test_one_file_a_part(files, tmp_path: Path) -> None:
    image, mask = files
    labels = np.asarray(Image.open(mask))
    for name, value in VALUES.items():
        Image.fromarray(((labels == value) * 255).astype(np.uint8)).save(tmp_path / f"case001_{name}.png")
    apart = {name: tmp_path / f"case001_{name}.png" for name in VALUES}
    assert (read(image, apart, {}).parts == read(image, mask).parts).all()


def test_the_digest_follows_the_pixels(files) -> None:
    image, mask = files
    before = read(image, mask).sha256
    assert read(image, mask).sha256 == before
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    assert read(image, mask).sha256 != before


def test_another_shape_is_refused(files) -> None:
    image, mask = files
    Image.fromarray(np.ones((64, 64), dtype=np.uint8)).save(mask)
    with pytest.raises(KnowledgeError, match=r"case001.*64 x 64.*64 x 48"):
        read(image, mask)


def test_an_empty_mask_is_refused(files) -> None:
    image, mask = files
    Image.fromarray(np.zeros((48, 64), dtype=np.uint8)).save(mask)
    with pytest.raises(KnowledgeError, match="holds nothing of 'left'"):
        read(image, mask)


def test_values_that_nobody_named_are_refused(files) -> None:
    image, mask = files
    with pytest.raises(KnowledgeError, match=r"holds the values 2, which no part is named for.*--parts"):
        read(image, mask, {"left": 1})


def test_no_parts_named(files) -> None:
    with pytest.raises(KnowledgeError, match="--parts left_lung=1"):
        read(*files, {})


def test_the_mask_of_another_image_is_refused(files, tmp_path: Path) -> None:
    image, mask = files
    other = mask.rename(tmp_path / "case002_mask.png")
    with pytest.raises(KnowledgeError, match=r"mask of another image than case001\.png"):
        read(image, other)
    # A name that follows no such pattern tells nothing.
    read(image, other.rename(tmp_path / "annotation.png"))


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_file_is_named(files, which: int) -> None:
    files[which].unlink()
    with pytest.raises(KnowledgeError, match=files[which].name):
        read(*files)
