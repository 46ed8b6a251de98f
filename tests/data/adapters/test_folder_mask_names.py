"""Which files of a plain folder are masks, and of which images."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.data.adapters.folder import FolderAdapter
from vesalius.data.adapters.folder_masks import find_masks
from vesalius.errors import DatasetError


def _files(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"image or mask")
    return [root / name for name in names]


def _found(root: Path, *names: str) -> tuple[dict[str, str], list[str]]:
    found = find_masks(_files(root, *names), root)
    of = {image.relative_to(root).as_posix(): mask.relative_to(root).as_posix() for image, mask in found.of.items()}
    return of, [path.relative_to(root).as_posix() for path in found.lost]


def test_folders_in_any_case_and_packed_volumes(tmp_path: Path) -> None:
    assert _found(tmp_path, "Images/a.png", "Masks/a.png") == ({"Images/a.png": "Masks/a.png"}, [])
    volumes = ("v/images/c0.nii.gz", "v/masks/c0_seg.nii.gz")
    assert _found(tmp_path, *volumes) == ({volumes[0]: volumes[1]}, [])


def test_a_file_that_is_named_as_no_image_is_no_image_either(tmp_path: Path) -> None:
    names = [f"images/{one}.png" for one in range(4)] + [f"masks/{one}.png" for one in range(3)] + ["masks/x.png"]
    _, lost = _found(tmp_path, *names)
    assert lost == ["masks/x.png"]
    adapter = FolderAdapter()
    samples = adapter.samples(tmp_path)
    assert [sample.source for sample in samples] == names[:4]
    assert [bool(sample.masks) for sample in samples] == [True, True, True, False]
    assert adapter.warnings == ("1 files beside masks are named as no image, and left out (first: masks/x.png)",)


def test_a_folder_that_shares_no_name_holds_images(tmp_path: Path) -> None:
    assert _found(tmp_path, "images/a.png", "labels/b.png") == ({}, [])


def test_of_two_images_that_share_a_stem_the_mask_is_of_its_own_name(tmp_path: Path) -> None:
    of, _ = _found(tmp_path, "images/a.jpg", "images/a.png", "masks/a.png")
    assert of == {"images/a.png": "masks/a.png"}


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("images/a.png", "masks/a.png", "segmentations/a.png"), r"images/a.png has two masks \(masks/a.png and segm"),
        (("images/a.jpg", "images/a.png", "masks/a_seg.png"), r"masks/a_seg.png may be the mask of images/a.jpg and"),
        (
            ("images/a.png", "masks/a.png", "masks/b.png", "masks/c.png"),
            r"1 of 3 files in masks are named as images beside it: name all masks",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, names: tuple[str, ...], why: str) -> None:
    with pytest.raises(DatasetError, match=why):
        _found(tmp_path, *names)
