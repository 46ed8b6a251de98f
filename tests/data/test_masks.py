"""Masks of stacks: the slice of the image's own place, one mask for all, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from vesalius.data.fit import placement
from vesalius.data.masks import LABEL_MAP, read_masks
from vesalius.data.read import read_image
from vesalius.errors import UnreadableImageError


def read(
    path: Path, *, frame: int = 0, frames: int = 1, masks: Sequence[tuple[str, Path]] = (), values: dict | None = None
) -> np.ndarray:
    return read_masks(
        masks or [(LABEL_MAP, path)],
        parts=("background", "heart"),
        values=values or {1: "heart"},
        shape=(8, 8),
        frame=frame,
        frames=frames,
        placement=placement(8, 8, 8),
        size=8,
    )


def stack(path: Path, frames: int) -> Path:
    """Frame i has its one row of heart at i."""
    volume = np.zeros((frames, 8, 8), dtype=np.uint8)
    volume[np.arange(frames), np.arange(frames)] = 1
    tifffile.imwrite(path, volume, photometric="minisblack")
    return path


def test_each_slice_has_its_own_mask(tmp_path: Path) -> None:
    path = stack(tmp_path / "mask.tif", 4)
    for frame in range(4):
        assert np.flatnonzero(read(path, frame=frame, frames=4).any(1)).tolist() == [frame]


def test_one_mask_serves_all_slices(tmp_path: Path) -> None:
    path = stack(tmp_path / "mask.tif", 1)
    assert np.flatnonzero(read(path, frame=2, frames=4).any(1)).tolist() == [0]


def test_a_mask_of_another_count_of_slices_is_refused(tmp_path: Path) -> None:
    path = stack(tmp_path / "mask.tif", 3)
    with pytest.raises(UnreadableImageError, match="mask has 3 frames, its image 4"):
        read(path, frame=2, frames=4)


def test_files_of_one_part_are_joined(tmp_path: Path) -> None:
    left, right = np.zeros((2, 8, 8), dtype=np.uint8)
    left[2, 1:3], right[5, 5:8] = 255, 255
    files = [tmp_path / "left.png", tmp_path / "right.png"]
    for file, mask in zip(files, (left, right), strict=True):
        Image.fromarray(mask).save(file)
    assert np.array_equal(read(files[0], masks=[("heart", file) for file in files]), (left + right) > 0)


def test_a_palette_is_read_by_its_codes(tmp_path: Path) -> None:
    """As PASCAL VOC paints its classes; colours would say nothing."""
    codes = np.zeros((8, 8), dtype=np.uint8)
    codes[1:3, 2:5] = 1
    image = Image.fromarray(codes, mode="L").convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0] + 250 * [9, 9, 9])
    image.putdata(codes.ravel().tolist())
    image.save(tmp_path / "mask.png")
    assert np.array_equal(read(tmp_path / "mask.png"), codes)


def test_a_gray_palette_means_its_grays(tmp_path: Path) -> None:
    """As Pillow writes a label map that it was asked to make small."""
    values = np.zeros((8, 8), dtype=np.uint8)
    values[2:4] = 7
    Image.fromarray(values).quantize(4).save(tmp_path / "mask.png")
    assert np.array_equal(read(tmp_path / "mask.png", values={7: "heart"}) > 0, values > 0)


def test_values_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array(64 * [1]).reshape(8, 8).astype(np.uint16) * 700).save(tmp_path / "mask.png")
    with pytest.raises(UnreadableImageError, match=r"mask has the values 700.*0 background, 1 heart"):
        read(tmp_path / "mask.png")
    assert read(tmp_path / "mask.png", values={700: "heart"}).all()


def _volume(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(values.astype(np.uint8), affine), path)
    return path


@pytest.mark.parametrize("turned", ["image", "mask", "both"])
def test_voxels_lie_on_voxels_where_an_affine_says_nothing(tmp_path: Path, turned: str) -> None:
    """The mask of what is bright: on the bright pixels, also where one of the files has no orientation."""
    values = np.zeros((8, 8, 4))
    values[1:3, 5:8, 1], values[4, 2, 3] = 1, 1
    lps = np.diag([-2.0, -2.0, 3.0, 1.0])
    image = _volume(tmp_path / "image.nii.gz", 200 * values, lps if turned in ("image", "both") else np.eye(4))
    mask = _volume(tmp_path / "mask.nii.gz", values, lps if turned in ("mask", "both") else np.eye(4))
    for frame in range(4):
        bright = read_image(image, frame=frame, window="range", allow_constant=True).pixels > 0
        found = read_masks(
            [(LABEL_MAP, mask)],
            parts=("background", "heart"),
            values={1: "heart"},
            shape=(8, 8),
            frame=frame,
            frames=4,
            placement=placement(8, 8, 8),
            size=8,
            image=image,
        )
        np.testing.assert_array_equal(found, bright)
