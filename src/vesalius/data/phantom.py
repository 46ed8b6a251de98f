"""The phantom: procedural frontal chest radiographs with masks, findings and patients, for demos and tests."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesalius.data.phantom_anatomy import Anatomy, draw_anatomy, draw_findings, draw_pose
from vesalius.data.phantom_exposure import cover, draw_exposure, expose
from vesalius.data.phantom_render import project
from vesalius.errors import DatasetError

__all__ = ["GENERATOR_VERSION", "Phantom", "PhantomImage", "write_phantom"]

GENERATOR_VERSION = 1
LABELS = ("effusion", "cardiomegaly", "opacity", "any_finding", "sex")
_BLOCK = 24
_PATIENT_STREAM, _IMAGE_STREAM, _BLOCK_STREAM = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomImage:
    """One rendered radiograph.

    Attributes:
        pixels: `[size, size]`, brighter = denser.
        mask: `[size, size]`, 0 background, 1 patient's left lung (right in the image), 2 right lung, 3 heart.
        patient: Who it shows.
        labels: `effusion`, `cardiomegaly`, `opacity`, `any_finding` (0 or 1) and `sex` (0 female, 1 male).
    """

    pixels: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    patient: str
    labels: dict[str, int]


class Phantom:
    """An endless, reproducible set of radiographs: image `index` of a seed is always the same.

    Patients have one to four images that share their anatomy and differ in pose, exposure and, at times, findings.

    Example:
        >>> image = Phantom(seed=0, size=64).render(3)
        >>> image.pixels.shape, image.patient
        ((64, 64), 'P000000-01')
    """

    def __init__(self, seed: int = 0, *, size: int = 256) -> None:
        """Choose the set by its seed, and the side of the images in pixels (at least 32)."""
        if size < 32:
            raise DatasetError(f"phantom of {size} pixels: expected at least 32, for anything to be seen")
        if seed < 0:
            raise DatasetError(f"phantom seed {seed}: expected 0 or more")
        self.seed = seed
        self.size = size
        # Freeing one large block teaches glibc to keep freed memory; otherwise every temporary of an image is handed
        # back to the system and faulted in again, a quarter of the time.
        np.empty(30 << 20, np.uint8)
        self._anatomy = lru_cache(maxsize=64)(self._draw_anatomy)

    def patient_of(self, index: int) -> tuple[int, int]:
        """Return (block, position in it) of the patient whom image `index` shows."""
        if index < 0:
            raise DatasetError(f"phantom image {index}: expected 0 or more")
        block, place = divmod(index, _BLOCK)
        counts = np.random.default_rng([self.seed, _BLOCK_STREAM, block]).integers(1, 5, size=_BLOCK)
        return block, int(np.searchsorted(np.cumsum(counts), place, side="right"))

    def _draw_anatomy(self, block: int, place: int) -> Anatomy:
        return draw_anatomy(np.random.default_rng([self.seed, _PATIENT_STREAM, block, place]))

    def render(self, index: int) -> PhantomImage:
        """Render image `index`.

        Raises:
            DatasetError: If the index is negative.
        """
        block, place = self.patient_of(index)
        anatomy = self._anatomy(block, place)
        rng = np.random.default_rng([self.seed, _IMAGE_STREAM, index])
        findings, pose, exposure = draw_findings(anatomy, rng), draw_pose(rng), draw_exposure(rng)
        projection = project(anatomy, pose, findings, size=self.size, rng=rng)
        labels = {
            "effusion": int(findings.effusion),
            "cardiomegaly": int(anatomy.cardiomegaly),
            "opacity": int(bool(findings.opacities)),
        }
        # What the collimator hides can be found by nobody.
        cover(projection.mask, pose, value=0.0)
        return PhantomImage(
            pixels=expose(projection.attenuation, exposure, pose, rng=rng),
            mask=projection.mask,
            patient=f"P{block:06d}-{place:02d}",
            labels={**labels, "any_finding": int(any(labels.values())), "sex": int(anatomy.male)},
        )


def write_phantom(
    folder: Path, *, images: int = 2000, seed: int = 0, size: int = 256, workers: int | None = None
) -> Path:
    """Write a set as files: `images/`, `masks/` (label maps), `labels.csv`, `phantom.json` and a README.

    The folder appears whole or not at all.

    Args:
        folder: Where; must not exist, or be empty.
        images: How many.
        seed: Of the set.
        size: Side in pixels.
        workers: Processes; as many as there are cores by default.

    Returns:
        The folder.

    Raises:
        DatasetError: If the folder holds something, or `images` is not positive.
    """
    if images < 1:
        raise DatasetError(f"phantom with {images} images: expected at least 1")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder}: exists and is not an empty folder; choose another, or remove it first")
    Phantom(seed, size=size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name in ("images", "masks"):
            (building / name).mkdir()
        rows = _write_all(building, images=images, seed=seed, size=size, workers=workers)
        _describe(building, rows, images=images, seed=seed, size=size)
        building.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def _write_all(folder: Path, *, images: int, seed: int, size: int, workers: int | None) -> list[list[str]]:
    count = max(1, min(workers or os.cpu_count() or 1, images))
    # Whole blocks of patients go to one process, so that an anatomy is drawn once.
    ranges = [range(start, min(start + _BLOCK * 4, images)) for start in range(0, images, _BLOCK * 4)]
    write = partial(_write_range, folder=folder, seed=seed, size=size)
    if count == 1 or len(ranges) == 1:
        return [row for chunk in ranges for row in write(chunk)]
    with ProcessPoolExecutor(count) as pool:
        return [row for rows in pool.map(write, ranges) for row in rows]


def _write_range(indices: Sequence[int], *, folder: Path, seed: int, size: int) -> list[list[str]]:
    phantom = Phantom(seed, size=size)
    rows: list[list[str]] = []
    for index in indices:
        image = phantom.render(index)
        name = f"phantom{index:06d}.png"
        Image.fromarray(image.pixels).save(folder / "images" / name, compress_level=1)
        Image.fromarray(image.mask).save(folder / "masks" / name, compress_level=1)
        rows.append([name, image.patient, *(str(image.labels[label]) for label in LABELS)])
    return rows


def _describe(folder: Path, rows: Sequence[Sequence[str]], *, images: int, seed: int, size: int) -> None:
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["image", "patient", *LABELS])
        writer.writerows(rows)
    made = {
        "generator": "vesalius.data.phantom",
        "version": GENERATOR_VERSION,
        "seed": seed,
        "images": images,
        "size": size,
    }
    (folder / "phantom.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(
        f"# Phantom chest radiographs\n\n{images} synthetic images of {size} x {size} pixels, seed {seed}, "
        f"generator version {GENERATOR_VERSION}.\nNo patient was ever in front of the tube.\n\n"
        "- `images/`: 8-bit PNG, brighter = denser.\n"
        "- `masks/`: 0 background, 1 patient's left lung, 2 right lung, 3 heart.\n"
        "- `labels.csv`: patient; effusion, cardiomegaly, opacity, any_finding (0 or 1); sex (0 female, 1 male).\n",
        encoding="utf-8",
    )
