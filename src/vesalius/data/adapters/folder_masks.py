"""Finding the masks of a plain folder: files named as the images, in a folder beside theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vesalius.data.adapters.listing import source_of, stem_of
from vesalius.errors import DatasetError

__all__ = ["FolderMasks", "find_masks"]

_FOLDERS = frozenset({"masks", "mask", "labels", "segmentations", "annotations"})
_ENDINGS = ("_mask", "_segmentation", "_seg", "-mask", "")
_FEWEST = 0.5
"""Share of a folder's files that must be named as images, where any is."""


@dataclass(frozen=True, slots=True)
class FolderMasks:
    """What was found.

    Attributes:
        of: Image to its mask.
        lost: Files in a folder of masks that are named as no image.
    """

    of: Mapping[Path, Path]
    lost: tuple[Path, ...]

    @property
    def files(self) -> frozenset[Path]:
        """All files that are no images."""
        return frozenset((*self.of.values(), *self.lost))


def find_masks(listed: Sequence[Path], root: Path) -> FolderMasks:
    """Pair `images/a.png` with `masks/a.png` or `masks/a_mask.png`, whatever the case of the folders' names.

    Args:
        listed: All files that may be images.
        root: The data set's folder, for messages.

    Raises:
        DatasetError: An image with two masks, a mask of two images, or a folder of which a small part is named as
            images, so that it is neither surely one of masks nor surely none.
    """
    images: dict[tuple[Path, str], list[Path]] = {}
    folders: dict[Path, list[Path]] = {}
    for path in listed:
        if path.parent.name.lower() == "images":
            images.setdefault((path.parent.parent, stem_of(path)), []).append(path)
        elif path.parent.name.lower() in _FOLDERS:
            folders.setdefault(path.parent, []).append(path)
    pairs: dict[Path, Path] = {}
    lost: list[Path] = []
    for folder, files in folders.items():
        of = {mask: image for mask in files if (image := _image_of(mask, images, root)) is not None}
        if not of:
            continue
        if len(of) < _FEWEST * len(files):
            raise DatasetError(
                f"{root}: {len(of)} of {len(files)} files in {source_of(folder, root)} are named as images beside "
                "it: name all masks as their images, or take the folder away, if it holds none"
            )
        for mask, image in of.items():
            if image in pairs:
                both = " and ".join(source_of(one, root) for one in (pairs[image], mask))
                raise DatasetError(
                    f"{root}: {source_of(image, root)} has two masks ({both}); keep one, or make them one"
                )
            pairs[image] = mask
        lost += [path for path in files if path not in of]
    return FolderMasks(pairs, tuple(lost))


def _image_of(mask: Path, images: Mapping[tuple[Path, str], list[Path]], root: Path) -> Path | None:
    stem = stem_of(mask)
    for ending in _ENDINGS:
        found = images.get((mask.parent.parent, stem.removesuffix(ending))) if stem.endswith(ending) else None
        if found is not None:
            break
    else:
        return None
    same = [one for one in found if one.name == mask.name] or found
    if len(same) > 1:
        both = " and ".join(source_of(one, root) for one in same[:2])
        raise DatasetError(f"{root}: {source_of(mask, root)} may be the mask of {both}; name them apart")
    return same[0]
