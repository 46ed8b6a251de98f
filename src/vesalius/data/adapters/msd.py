"""The Medical Segmentation Decathlon: volumes with label maps; the heart (task 2) among them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import inside, source_of
from vesalius.data.read import count_frames
from vesalius.errors import DatasetError, ManifestError, UnreadableImageError
from vesalius.records.sample import Sample

__all__ = ["MsdAdapter"]


class MsdAdapter(Adapter):
    """`TaskNN_Name/dataset.json` with `imagesTr`, `labelsTr` and `imagesTs`, as published and as nnU-Net once took it.

    Every slice becomes a row, all of a volume together; the test volumes have no masks.
    """

    name: ClassVar[str] = "msd"
    title: ClassVar[str] = "Medical Segmentation Decathlon"
    layout: ClassVar[str] = "dataset.json + imagesTr/*.nii.gz + labelsTr/*.nii.gz (+ imagesTs/*.nii.gz)"
    citation: ClassVar[str] = "Antonelli et al., Nat Commun 13:4128, 2022"
    licence: ClassVar[str] = "CC BY-SA 4.0"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """The decathlon's table (nnU-Net's of that name lists no training images), and the images."""
        table = folder / "dataset.json"
        if not table.is_file() or not (folder / "imagesTr").is_dir():
            return False
        return b'"training"' in table.read_bytes()

    def collect(self, root: Path, *, axis: int = 2, volume: int = 0) -> list[Sample]:
        """Return one sample a slice; no side is published that could be scored, so none is given.

        Args:
            root: The folder with `dataset.json`, or its parent.
            axis: The voxel axis across slices.
            volume: Which channel of a volume with several (`modality` in the table).

        Raises:
            ManifestError: The table is malformed.
            DatasetError: An axis, or a channel, that is not there.
        """
        base = self.base(root)
        table = base / "dataset.json"
        content = _read(table)
        if axis not in (0, 1, 2):
            raise DatasetError(f"axis={axis}: expected 0, 1 or 2")
        channels = content.channels
        if not 0 <= volume < len(channels):
            raise DatasetError(f"volume={volume}: {table} has {len(channels)} ({', '.join(channels)}), counted from 0")
        self.parts, pairs, tests = content.parts, content.training, content.test
        if tests:
            self.note(f"{len(tests)} test volumes have no masks: they can be learned from without labels")
        reader = {"axis": axis, "volume": volume}
        found = []
        for image, label in [*pairs, *((one, "") for one in tests)]:
            path = inside(base, image.removeprefix("./"), table=table)
            truth = inside(base, label.removeprefix("./"), table=table) if label else None
            found += [
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=path.name.removesuffix(".gz").removesuffix(".nii"),
                    frame=number,
                    masks={} if truth is None else {"@labelmap": truth},
                    reader=reader,
                )
                for number in range(_slices(path, axis))
            ]
        named = {path for sample in found for path in (sample.path, *(mask for _, mask in sample.mask_files))}
        unnamed = [path for path in self.list_images(base, root) if path not in named]
        if unnamed:
            first = source_of(unnamed[0], root)
            self.warn(f"{len(unnamed)} files that {table.name} does not name are left out (first: {first})")
        return found


def _slices(path: Path, axis: int) -> int:
    try:
        return count_frames(path, axis=axis)
    except UnreadableImageError:
        return 1  # it is refused when it is decoded


@dataclass(frozen=True, slots=True)
class _Table:
    """What `dataset.json` says: parts by value, image and label files, test images, names of the channels."""

    parts: dict[int, str]
    training: list[tuple[str, str]]
    test: list[str]
    channels: list[str]


def _read(table: Path) -> _Table:
    try:
        content = json.loads(table.read_text(encoding="utf-8"))
        parts = {int(value): str(name).replace(" ", "_") for value, name in content["labels"].items()}
        return _Table(
            parts={value: name for value, name in parts.items() if value != 0},
            training=[(str(one["image"]), str(one["label"])) for one in content["training"]],
            test=[one if isinstance(one, str) else str(one["image"]) for one in content.get("test") or []],
            channels=[str(one) for one in content.get("modality", {"0": ""}).values()],
        )
    except (ValueError, AttributeError, KeyError, TypeError, OSError) as error:
        raise ManifestError(f"{table}: is not the decathlon's dataset.json ({error!r}); copy it again") from error
